// Memory for amplitudes, and for the tables of one operation.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace qsim::cpu {

// Uninitialised bytes: big ones on huge pages (2 MiB aligned, where the system gives them), small ones aligned to
// cache lines. Throws std::bad_alloc.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  [[nodiscard]] void* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool zeroed() const { return mapped_ > 0; }  // when it was new

 private:
  void* data_ = nullptr;
  std::size_t size_;
  std::size_t mapped_ = 0;  // bytes to unmap, 0 when the memory came from the heap
};

// A buffer that the next one takes over, up to 32 MiB of it: fresh pages cost more than most of what is done with them.
class KeptBuffer {
 public:
  explicit KeptBuffer(std::size_t bytes);
  ~KeptBuffer();
  KeptBuffer(const KeptBuffer&) = delete;
  KeptBuffer& operator=(const KeptBuffer&) = delete;
  [[nodiscard]] void* data() const { return buffer_->data(); }

 private:
  std::unique_ptr<Buffer> buffer_;
};

// Gives out pieces of memory that all die together; reset() keeps up to 4 MiB of it for the next ones, in one block.
class Arena {
 public:
  template <class T>
  T* get(std::size_t count) {
    if (count > (~std::size_t{0} >> 1) / sizeof(T)) throw std::bad_alloc();
    return static_cast<T*>(bytes(count * sizeof(T)));
  }
  void reset();
  [[nodiscard]] std::size_t size() const { return total_; }

 private:
  void* bytes(std::size_t size);
  std::vector<std::unique_ptr<Buffer>> blocks_;
  std::size_t used_ = 0;  // of the last block
  std::size_t size_ = 0;
  std::size_t total_ = 0;  // of all blocks
  std::size_t next_ = 0;   // at least this much in the next block
};

}  // namespace qsim::cpu
