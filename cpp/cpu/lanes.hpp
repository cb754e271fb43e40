// Helpers of host code around lanes: bit maps, and a state too small for one vector.
#pragma once

#include <algorithm>

#include "kernels.hpp"
#include "memory.hpp"
#include "qsim/bits.hpp"

namespace qsim::cpu {

// The map that sends bit j (j < bits) of its argument to moved[j], which may be 0, one bit or several.
inline BitMap make_bit_map(const Bits* moved, int bits, Arena& arena) {
  const int levels = std::max(1, (bits + BitMap::digit - 1) / BitMap::digit);
  Bits* table = arena.get<Bits>(static_cast<std::size_t>(levels) * BitMap::width);
  for (int level = 0; level < levels; ++level) {
    Bits* row = table + level * BitMap::width;
    row[0] = 0;
    for (unsigned value = 1; value < BitMap::width; ++value) {
      const int source = level * BitMap::digit + lowest_bit(value);
      row[value] = row[value & (value - 1)] | (source < bits ? moved[source] : 0);
    }
  }
  return {levels, table};
}

inline Bits lookup(const BitMap& map, Bits value) {
  Bits result = 0;
  for (int level = 0; level < map.levels; ++level, value >>= BitMap::digit)
    result |= map.table[level * BitMap::width + static_cast<int>(value & (BitMap::width - 1))];
  return result;
}

// Kernels work on whole vectors. A smaller register borrows idle qubits in |0> and is copied back.
template <class T>
class Padded {
 public:
  Padded(const KernelTable& table, T* amps, int num_qubits)
      : given_(amps), given_size_(std::size_t{2} << num_qubits), data(amps), num_qubits(num_qubits) {
    const std::size_t elements = static_cast<std::size_t>(table.vector_bytes) / sizeof(T);
    if (given_size_ >= elements) return;
    this->num_qubits = lowest_bit(elements / 2);
    data = own_;
    std::fill_n(own_, elements, T(0));
    std::copy_n(given_, given_size_, own_);
  }
  Padded(const Padded&) = delete;
  Padded& operator=(const Padded&) = delete;
  void copy_back() {
    if (data == own_) std::copy_n(own_, given_size_, given_);
  }

 private:
  T* given_;
  std::size_t given_size_;
  alignas(64) T own_[64 / sizeof(T)];

 public:
  T* data;
  int num_qubits;
};

}  // namespace qsim::cpu
