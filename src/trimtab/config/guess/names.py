"""What a column's name suggests; values have the last word, in the modules beside this one."""

import re
from collections.abc import Iterable


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


USERS = _listed(
    "userid user uid useridx userkey usercode usernumber userhash userpseudoid hasheduserid "
    "memberid member customerid customer custid visitorid visitor viewerid accountid buyerid "
    "shopperid clientid client readerid listenerid playerid personid reviewerid profileid "
    "subscriberid deviceid cookieid"
)
ITEMS = _listed(
    "itemid item iid itemidx itemkey itemcode videoid video vid photoid noteid postid articleid "
    "article newsid docid documentid contentid content productid product pid skuid sku goodsid "
    "asin isbn adid adgroupid creativeid movieid movie songid trackid bookid listingid offerid "
    "hotelid jobid gameid storyid pinid feedid courseid showid recipeid"
)
TIMES = _listed(
    "timestamp timestampms eventtimestamp timems eventtime eventtimems impressiontime requesttime "
    "exposuretime showtime ts time datetime createdat logtime servertime eventdate impressiondate "
    "date day dt ds pdate hour"
)
SESSIONS = _listed("sessionid session visitid requestid reqid searchid queryid srchid")
REQUESTS = SESSIONS + _listed(
    "sid impressionid impid exposureid pvid traceid logid eventid rowid recordid rownumber rownum "
    "rowno index idx id uuid guid orderid transactionid unnamed unnamed0"
)
WEIGHTS = _listed("instanceweight sampleweight rowweight caseweight weight weights fnlwgt")
SPLITS = _listed("split fold folds istest istrain isvalid isvalidation")
SCENES = {"tab", "scene", "scenario", "page", "channel", "surface", "placement"}

BEHAVIOURS = {
    *_listed("click clicks clicked like likes liked dislike dislikes disliked hate hated"),
    *_listed("buy buys bought purchase purchases purchased cart carted wishlist booked paid"),
    *_listed("follow follows followed share shares shared comment comments commented"),
    *_listed("forward forwards forwarded repost reposted retweet reply replied feedback"),
    *_listed("view viewed watched dwell finish finished complete completed completion"),
    *_listed("convert converted conversion conversions stop stopped skip skipped enter entered"),
    *_listed("favorite favorites favorited favourite favourites favourited collect collected"),
    *_listed("download downloaded install installed subscribe subscribed churn churned"),
    *_listed("block blocked report reported refund refunded engaged engagement"),
    *_listed("label target outcome response rating ratings revenue gmv spend spent"),
}
"""Words of what a user does once the row is on the screen."""
LABEL_WORDS = {
    *_listed("play played watch read open opened save saved order ordered pay return returned"),
    *_listed("listen listened stay visited success redeemed upvote upvoted downvoted y"),
}
"""Words that mean a behaviour in a column of 0 and 1, and may mean anything elsewhere."""
EVENTS = {"action", "event", "behavior", "behaviour"}
"""Words of text columns that say what happened."""
ACTIVITIES = {
    *_listed("play watch watching dwell stay view viewing listen listening read reading consume"),
    *_listed("browse engage engagement session visit spent screen"),
}
AMOUNTS_OF_TIME = {
    *_listed("time duration length dwell spent ms msec millis millisecond milliseconds"),
    *_listed("s sec secs second seconds minute minutes mins hours"),
}
MONEY = set(_listed("amount money paid payment payments spend revenue gmv turnover"))
BASKETS = set(
    _listed("order orders basket cart purchase purchases checkout transaction sale sales")
)
WORTH = set(_listed("value worth total price sum"))
"""Words of money that a user spent; of what it was spent on, and beside it of how much it was."""
NOT_SPENT = {
    *_listed(
        "coupon voucher discount discounted saving savings tax fee credit loan balance budget"
    ),
    *_listed("bid limit min max minimum maximum threshold offer offered income salary"),
    *_listed(
        "date at days hour count cnt num number rank share ratio rate pct percent views items"
    ),
    *_listed("ad ads campaign advertiser seller merchant shop store author creator"),
    *(AMOUNTS_OF_TIME - {"spent"}),
}
"""Words of amounts that are known before, are of others than users, or are no money."""
_TIMES_SPENT = _listed("playtime watchtime dwelltime staytime viewtime play played watched watch")
HISTORY = re.compile(
    r"hist|history|historical|past|prev|previous|avg|average|mean|ctr|cvr|lifetime|profile|"
    r"last\d*|\d+d|\d+h|\d+days?|seq|sequence|list"
)
"""Words of statistics of earlier rows, which are known before this one."""
BEFORE = {
    *_listed("new mobile desktop weekend weekday holiday night morning first returning vip"),
    *_listed("member premium subscriber subscribed guest logged login verified male female"),
    *_listed("active lowactive live author streamer adult kids original exclusive hd free"),
    *_listed("ad ads rand random promo promoted sponsored organic discounted sale available"),
    *_listed("stock app web ios android default"),
}
"""What ``is_...`` may say of a user, an item or a moment before anything happens."""
OTHER_TIMES = {
    *_listed("birth birthday born dob signup register registered registration join joined"),
    *_listed("upload uploaded publish published release released launch launched install"),
    *_listed("first last since end expire expiry expires update updated modified"),
}
"""Words of times that are not the row's."""
CODES = {
    *_listed("id ids idx code codes cd type category categories cat cate class kind status group"),
    *_listed("level flag bucket bin segment cluster hash region city country state province zip"),
    *_listed("zipcode postcode channel source platform os device brand model gender sex"),
    *_listed("language lang locale author artist creator publisher seller merchant shop store"),
    *_listed("advertiser campaign keyword topic genre album music carrier browser domain"),
}
"""Last words of names whose numbers are codes, whatever stands before."""
PLACES = {
    *_listed("tab page slot position version"),
    *_listed("hour hourmin day weekday dow dayofweek month quarter year"),
}
"""Last words of names whose numbers are codes, unless a quantity is named before them."""
QUANTITIES = {
    *_listed("age count cnt counts num number qty quantity price cost amount income salary wage"),
    *_listed("wages balance budget revenue gain gains loss losses dividends score rate ratio"),
    *_listed("percent pct share ctr cvr sum avg mean total duration length len size width height"),
    *_listed("weight distance area depth speed temperature days weeks months years hours minutes"),
    *_listed("seconds sec ms views followers fans likes clicks"),
}
_UNITS = {
    "ms": "ms", "msec": "ms", "millis": "ms", "millisecond": "ms", "milliseconds": "ms",
    "s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
    "min": "min", "mins": "min", "minute": "min", "minutes": "min",
    "h": "h", "hr": "h", "hrs": "h", "hour": "h", "hours": "h",
}  # fmt: skip
_PREFIXES = {"is", "has", "have", "did", "was", "if", "label", "target", "y"}
_TIME_TAIL = {"time", "duration", "length", "spent", "in", "of", "amount"}


def words(name: str) -> tuple[str, ...]:
    """Split a name at signs and at changes of case: ``userID``, ``User Id``: user, id."""
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name.strip())
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return tuple(part for part in re.split(r"[\W_]+", name.lower()) if part)


def place(parts: tuple[str, ...], known: Iterable[str]) -> int | None:
    """Return where a name stands in a list of names written as one word, or None."""
    joined = "".join(parts)
    return next((i for i, name in enumerate(known) if name == joined), None)


def is_coded(parts: tuple[str, ...]) -> bool:
    """Say whether a name means that its numbers are codes, whatever they look like."""
    if is_key(parts) or set(parts[-1:]) & CODES or set(parts) & {"onehot", "sparse"}:
        return True
    return re.fullmatch(r"(c|cat|sparse|id)\d+", "".join(parts)) is not None


def is_key(parts: tuple[str, ...]) -> bool:
    """Say whether a name means a user, an item or another thing by its number."""
    known = place(parts, [*USERS, *ITEMS]) is not None or bool(
        set(parts[-1:]) & {"id", "ids", "key"}
    )
    return known or bool(
        parts and len(parts[-1]) > 5 and re.search("(id|idx|code|type)$", parts[-1])
    )


def time_unit(parts: tuple[str, ...]) -> str | None:
    """Return the unit that a name ends in, or None."""
    return _UNITS.get(parts[-1]) if parts else None


def spends_time(parts: tuple[str, ...]) -> bool:
    """Say whether a name means time that a user spent, such as ``play_time_ms``."""
    found = set(parts)
    whole = "".join(parts)
    if "dwell" in found or whole in _TIMES_SPENT:
        return True
    return bool(found & (ACTIVITIES | {"watched", "played"}) and found & AMOUNTS_OF_TIME)


def spends_money(parts: tuple[str, ...]) -> bool:
    """Say whether a name means money that a user spent, such as ``order_value``."""
    found = set(parts)
    if found & NOT_SPENT or is_coded(parts) or any(HISTORY.fullmatch(part) for part in parts):
        return False
    return bool(found & MONEY or (found & BASKETS and found & WORTH))


def is_amount_of_time(parts: tuple[str, ...]) -> bool:
    """Say whether a name means some amount of time, spent by a user or not."""
    return spends_time(parts) or bool(set(parts) & AMOUNTS_OF_TIME)


def is_behaviour(parts: tuple[str, ...]) -> bool:
    """Say whether a name means what happened on the row, and is known only afterwards."""
    if any(HISTORY.fullmatch(part) for part in parts) and not set(parts) & {"enter", "stay"}:
        return False
    return bool(set(parts) & BEHAVIOURS) or spends_time(parts)


def is_label(parts: tuple[str, ...]) -> bool:
    """Say whether a name suits a column of 0 and 1 that a model should predict."""
    if any(HISTORY.fullmatch(part) for part in parts) and not set(parts) & {"enter"}:
        return False
    if is_behaviour(parts) or set(parts) & LABEL_WORDS:
        return True
    return len(parts) > 1 and parts[0] == "is" and not set(parts) & BEFORE


def short(parts: tuple[str, ...], *, duration: bool = False) -> str:
    """Return a target's name: without ``is_`` and, for a duration, without unit and ``time``."""
    kept = list(parts)
    while len(kept) > 1 and kept[0] in _PREFIXES:
        kept.pop(0)
    while duration and len(kept) > 1 and (kept[-1] in _UNITS or kept[-1] in _TIME_TAIL):
        kept.pop()
    return "_".join(kept)
