// Layers made ready to run: tables in the precision of the state, and the list of kernel calls for every tile.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "memory.hpp"
#include "qsim/bits.hpp"
#include "tile_kernels.hpp"
#include "tile_layers.hpp"
#include "tile_source.hpp"
#include "tile_weights.hpp"
#include "tile_work.hpp"

namespace qsim::cpu::tile {

constexpr int max_read = 4;  // qubits whose outcomes are summed over tiles

// Bytes: so weights of parts of a state take a 64th of its memory at most.
constexpr Bits shortest_weighed = 512;

template <class T>
class Program {
 public:
  explicit Program(const KernelTable& table);

  // `local` are the qubits of the tile index, ascending.
  void build(const Layers& layers, Bits local);

  // Bytes a thread needs to run tiles.
  [[nodiscard]] std::size_t scratch_bytes() const;

  // Squared moduli will be summed by the outcome of some qubits of the register, at the end of the layers built last.
  void read_outcomes(const Layers& layers, Bits local, const std::vector<int>& qubits);
  // Where the tiles lie, for a Source.
  [[nodiscard]] const Rows& rows() const { return rows_; }

  // Load the tile at index `base` of the state, run it, store it. `next` is the first amplitude of the tile after it.
  // With a source it is loaded from there, as part of row `row`; sums by outcome are added to `sums`, unless it is
  // null; the weights of what is stored go to `weights`, unless it is null.
  void run(T* state, Bits base, const T* next, void* scratch, const Source<T>* source, Index row, double* sums,
           const TileWeights* weights = nullptr) const;
  // How long parts can be whose weights run leaves behind, as a power of two amplitudes; -1: it can't.
  [[nodiscard]] int weighed_bits(int most) const;
  // What run does to a tile of zeros.
  void clear(T* state, Bits base) const;

  // The same for tiles of two states at the same place. What probes read is added to `sums`, num_sums() of them.
  // Without `store` the tiles are left as the last probe saw them, and are not stored.
  void run_pair(T* ket, T* bra, Bits base, const T* next, void* scratch, double* sums, bool store) const;
  [[nodiscard]] std::size_t pair_scratch_bytes() const;
  [[nodiscard]] std::size_t num_sums() const { return num_sums_; }
  // Turn sums over all tiles into slopes.
  void add_slopes(const double* sums, double* slopes) const;

  // Bytes of its tables.
  [[nodiscard]] std::size_t bytes() const { return arena_.size(); }
  // What one tile takes, the mean over tiles.
  [[nodiscard]] Work work() const;

 private:
  enum class Kind : std::uint8_t { sweep, scale, block, pair, controlled_x, exchange, read };
  struct Step {
    Kind kind;
    std::uint32_t index;
    Bits outer_mask, outer_value;  // runs in tiles that match
  };
  // What a coupling changes: the entries with bit `position` (-1: all) of a factor's low or high table.
  struct Change {
    std::uint32_t factor;
    int position;
    bool high;
    Bits outer_mask, outer_value;
    Complex value;
  };
  struct Copy {  // of a table that changes per tile
    std::uint32_t factor;
    bool high;
    int bits;                   // vector bits of a low table, bits of a high one
    std::size_t offset, size;   // in T
    std::uint32_t first, last;  // changes
  };
  struct Wide {  // parity marks have different factors in tiles of odd outer parity
    Scale<T> even, odd;
    Bits outer_parity;
  };

  // Slopes at one place (tile_reading.cpp): moments; or parities of the weights Im(conj(bra) ket), which come from
  // sums and differences of halves, as in a Walsh-Hadamard transform with only the branches somebody wants.
  struct Fold {
    Index offset, half;
    int which;
  };
  struct Parity {
    Index offset;    // of eight weights, or fewer,
    unsigned signs;  // to be added with signs: parity of the bits in common
    Bits outer;
    std::size_t sum;
  };
  struct Reading {
    std::vector<Moments> moments;
    std::vector<int> lanes;
    std::size_t first_sum;  // X and Y of every moment, then of every lane
    Weights weights;
    std::vector<Fold> folds;
    std::vector<Parity> parities;
  };
  struct Share {
    std::size_t sum;
    Index output;
    double weight;
  };
  void read_moments(int layer);
  void read_parities(int layer);
  void add_reading(Reading reading);
  void add_parities(Reading& reading, Index offset, int bits, std::vector<Parity> parities, std::vector<Bits> masks);
  void read(const Reading& reading, const T* ket, const T* bra, Bits base, double* weights, double* sums) const;

  // Sums by outcome: one course for every outcome of the vector bits among the qubits.
  struct Outcomes {
    int num_qubits;
    Bits outer[max_read], lane[max_read];  // what bit k of an outcome looks at: in a tile's place, in a lane's number
    Bits flipped;                          // of a lane's number
    std::vector<Course> courses;
    std::vector<Bits> outcome;  // of each
  };
  void add_weights(const T* tile, Bits base, double scale, double* sums) const;
  void leave_weights(double* strips, Bits base, const TileWeights& weights) const;
  [[nodiscard]] int strip_bits() const { return lane_bits_ + lowest_bit(Bits{strip_vectors / 2}); }
  [[nodiscard]] std::size_t num_strips() const {
    return bits_ < strip_bits() ? 0 : std::size_t{1} << (bits_ - strip_bits());
  }

  // What runs on one tile.
  const Factor<T>* factors_at(Bits base, T* copied, Factor<T>* own) const;
  [[nodiscard]] Sweep<T> sweep_of(const Step& step, const Factor<T>* factors) const;
  void apply(const Step& step, Bits base, const Factor<T>* factors, T* tile) const;
  [[nodiscard]] Complex factor_at(Bits base) const;
  // The place of vector v, and the course over vectors with `value` on `fixed`.
  [[nodiscard]] Bits place_of(Bits vectors) const;
  Course course(Bits fixed, Bits value);
  template <class StepOf>
  Course course_of(Bits fixed, Bits first, StepOf step_of);

  void build_rows(const Layers& layers, Bits local);
  void build_ends(const Layers& layers, Bits local);
  void open_step(const Step& step);
  void build_layer(const Layers& layers, int layer);
  void add_diagonal(const Layers& layers, int layer);
  void add_block(const Dense& dense, const Complex* matrix);
  void add_pair(const Dense& dense, const Pair& pair);
  void add_controlled_x(const Dense& dense);
  void add_exchanges(int layer);
  const T* active_lanes(const Dense& dense);
  void spread_over_lanes(const Dense& dense, const Complex* matrix, Block<T>& block);
  void add_sweeps(int layer, std::size_t first_factor, bool can_join);
  bool add_sparse_diagonal(double dense_cost);
  void add_changes(std::uint32_t factor, bool high, int bits);
  void fill_low(std::uint32_t factor, int bits, Complex constant);
  void fill_high(std::uint32_t factor, int from, Complex constant);
  std::size_t fill(int first, int last, Complex constant);

  const KernelTable& table_;
  const Kernels<T>& kernels_;
  int lane_bits_;
  int bits_ = 0;
  std::array<Bits, max_tile_bits> place_{};  // of the vector with one bit
  double scale_ = 1;                         // of the amplitudes in the tile, still to be multiplied
  Arena arena_;
  Rows rows_{};
  // Whether the first step loads from the state and the last one stores there, where nobody else looks at the tile
  // then.
  bool enters_ = false, leaves_ = false;
  Abroad entrance_{}, exit_{};
  std::array<Bits, max_tile_bits> first_place_{};  // place_ when the first step was opened
  std::array<Bits, max_tile_bits> last_image_{};   // what the moves since the last one was opened made of a vector bit
  std::vector<Step> steps_;
  std::vector<Sweep<T>> sweeps_;
  std::vector<SweepStep<T>> sweep_steps_;
  std::vector<std::uint32_t> first_step_;  // of each sweep
  std::vector<Factor<T>> factors_;
  std::vector<Wide> scales_;
  std::vector<Block<T>> blocks_;
  std::vector<PairStep<T>> pairs_;
  std::vector<ControlledX<T>> flips_;
  std::vector<Exchange> exchanges_;
  std::vector<Change> changes_;
  std::vector<Copy> copies_;
  std::size_t copied_ = 0;
  std::vector<Term> phases_;
  std::vector<ParityTerm> parity_phases_;
  Complex constant_;
  std::vector<Reading> readings_;
  std::vector<Share> shares_;
  Outcomes outcomes_{};
  std::size_t num_sums_ = 0;
  std::size_t read_steps_ = 0;  // steps up to the last reading
  bool weighs_ = false;

  // Scratch of one diagonal: entries, linear factors and edges of the table being filled, by position.
  std::vector<double> re_, im_;
  std::vector<Complex> linear_;
  std::vector<Edge> edges_, far_, main_edges_;
  std::vector<Rotation> todo_;
  std::vector<Coupling> couplings_;
  // Rows of Layers in order of layers.
  std::vector<Edge> sorted_edges_;
  std::vector<Coupling> sorted_couplings_;
  std::vector<Mark> sorted_marks_;
  std::vector<ParityMark> sorted_parity_marks_;
  std::vector<Move> sorted_moves_;
  std::vector<Rotation> sorted_rotations_;
  std::vector<Dense> sorted_blocks_;
  std::vector<Probe> sorted_probes_;
  std::vector<ParityProbe> sorted_parity_probes_;
  std::size_t next_edge_ = 0, next_coupling_ = 0, next_mark_ = 0, next_parity_mark_ = 0, next_move_ = 0,
              next_rotation_ = 0, next_block_ = 0, next_probe_ = 0, next_parity_probe_ = 0;
};

}  // namespace qsim::cpu::tile
