// Memory that is kept from one call to the next.
#pragma once
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

// Numbers that nobody has set yet, kept for the thread's next call: what is given back to the system
// costs a page fault for every 4 KB when it is asked for again. They lie in huge pages where there
// are such: rows of products are read at random places, and a place is found faster in a huge page.
class Room {
 public:
  void again() {
    more_.clear();
    if (used_ > size_) {
      const int64_t wanted = (used_ + used_ / 8 + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
      size_ = used_ = 0;  // Nothing is there while more is asked for.
      block_.reset();
      block_.reset(static_cast<char*>(std::aligned_alloc(LARGE_PAGE, wanted)));
      if (!block_) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
      madvise(block_.get(), wanted, MADV_HUGEPAGE);
#endif
      size_ = wanted;
    }
    used_ = 0;
  }
  // All that is wanted at once; null where there is no memory for it.
  template <class Number>
  Number* only(int64_t count) {
    try {
      return again(), of<Number>(count + 1);  // None is not null.
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
  }
  template <class Number>
  Number* of(int64_t count) {
    const int64_t bytes = (int64_t(sizeof(Number)) * count + 63) / 64 * 64, at = used_;
    used_ += bytes;
    if (used_ <= size_) return reinterpret_cast<Number*>(block_.get() + at);
    more_.emplace_back(new char[bytes + 1]);
    return reinterpret_cast<Number*>(more_.back().get());
  }

 private:
  static constexpr int64_t LARGE_PAGE = 2 << 20;
  struct Free {
    void operator()(char* block) const { std::free(block); }
  };
  std::unique_ptr<char, Free> block_;
  std::vector<std::unique_ptr<char[]>> more_;
  int64_t size_ = 0, used_ = 0;
};
