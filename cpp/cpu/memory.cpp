#include "memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace qsim::cpu {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t cache_line = 64;
constexpr std::size_t most_kept = std::size_t{32} << 20;
constexpr std::size_t first_block = std::size_t{8} << 10;
constexpr std::size_t most_waiting = std::size_t{4} << 20;

std::size_t round_up(std::size_t size, std::size_t unit) {
  return (size + unit - 1) / unit * unit;
}

std::atomic<Buffer*> kept{nullptr};  // nobody's: whoever takes it out owns it

}  // namespace

Buffer::Buffer(std::size_t bytes) : size_(bytes) {
  if (bytes > (~std::size_t{0} >> 1) - 2 * huge_page) throw std::bad_alloc();
  if (bytes < 2 * huge_page) {
    data_ = std::aligned_alloc(cache_line, round_up(bytes + 1, cache_line));
    if (data_ == nullptr) throw std::bad_alloc();
    return;
  }
  // Map one page too many, then give back what lies before and after the aligned part.
  mapped_ = round_up(bytes, huge_page);
  void* mapping = mmap(nullptr, mapped_ + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  const auto start = reinterpret_cast<std::uintptr_t>(mapping);
  const std::uintptr_t aligned = round_up(start, huge_page);
  if (aligned > start) munmap(mapping, aligned - start);
  const std::size_t after = start + huge_page - aligned;
  if (after > 0) munmap(reinterpret_cast<void*>(aligned + mapped_), after);
  data_ = reinterpret_cast<void*>(aligned);
#ifdef MADV_HUGEPAGE
  madvise(data_, mapped_, MADV_HUGEPAGE);  // a wish: without it the memory is merely slower
#endif
}

Buffer::~Buffer() {
  if (mapped_ > 0) munmap(data_, mapped_);
  else std::free(data_);
}

KeptBuffer::KeptBuffer(std::size_t bytes) : buffer_(kept.exchange(nullptr)) {
  if (buffer_ != nullptr && buffer_->size() >= bytes) return;
  buffer_.reset();
  buffer_ = std::make_unique<Buffer>(bytes);
}

KeptBuffer::~KeptBuffer() {
  if (buffer_->size() > most_kept) return;
  buffer_.reset(kept.exchange(buffer_.release()));
}

void* Arena::bytes(std::size_t size) {
  size = round_up(size, cache_line);
  if (blocks_.empty() || used_ + size > size_) {
    const std::size_t wanted = std::max({size, first_block, next_, std::min(total_, most_waiting)});
    blocks_.push_back(std::make_unique<Buffer>(wanted));
    used_ = 0;
    size_ = wanted;
    total_ += wanted;
  }
  void* result = static_cast<char*>(blocks_.back()->data()) + used_;
  used_ += size;
  return result;
}

void Arena::reset() {
  if (blocks_.size() > 1) {
    blocks_.clear();
    next_ = std::min(total_, most_waiting);
    size_ = total_ = 0;
  }
  used_ = 0;
}

}  // namespace qsim::cpu
