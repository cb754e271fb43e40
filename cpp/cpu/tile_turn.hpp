// One-qubit unitaries as the tile engine sees them: phase . real rotation . phase, with the scale of the rotation left
// out.
#pragma once

#include <cmath>

#include "tile_kernels.hpp"

namespace qsim::cpu::tile {

// std::complex checks every product for NaN; this doesn't.
struct Complex {
  double re = 0;
  double im = 0;
};

inline Complex operator*(Complex a, Complex b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
inline Complex operator*(double a, Complex b) {
  return {a * b.re, a * b.im};
}
inline Complex operator+(Complex a, Complex b) {
  return {a.re + b.re, a.im + b.im};
}
inline Complex operator-(Complex a, Complex b) {
  return {a.re - b.re, a.im - b.im};
}
inline Complex operator-(Complex a) {
  return {-a.re, -a.im};
}
inline Complex conj(Complex a) {
  return {a.re, -a.im};
}
inline double square(Complex a) {
  return a.re * a.re + a.im * a.im;
}
inline double size(Complex a) {
  return std::sqrt(square(a));
}
inline Complex inverse(Complex a) {
  return (1.0 / square(a)) * conj(a);
}
inline bool is_one(Complex a) {
  return std::abs(a.re - 1) + std::abs(a.im) < 1e-16;
}
inline bool operator==(Complex a, Complex b) {
  return a.re == b.re && a.im == b.im;
}

// e^(i angle), exact where the result is 1, i, -1 or -i.
inline Complex unit(double angle) {
  const double c = std::cos(angle), s = std::sin(angle);
  const double least = 1e-16 * (1 + std::fmin(std::abs(angle), widest_multiple));  // what rounding of the angle leaves
  if (std::abs(s) < least) return {c < 0 ? -1.0 : 1.0, 0};
  if (std::abs(c) < least) return {0, s < 0 ? -1.0 : 1.0};
  return {c, s};
}

struct Matrix {
  Complex m00{1, 0}, m01, m10, m11{1, 0};
};

inline Matrix operator*(const Matrix& a, const Matrix& b) {
  return {a.m00 * b.m00 + a.m01 * b.m10, a.m00 * b.m01 + a.m01 * b.m11, a.m10 * b.m00 + a.m11 * b.m10,
          a.m10 * b.m01 + a.m11 * b.m11};
}

inline Matrix adjoint(const Matrix& a) {
  return {conj(a.m00), conj(a.m10), conj(a.m01), conj(a.m11)};
}

// matrix = diag(after0, after1) X^flip (scale . (1, -t; t, 1)) diag(1, before), |t| <= 1. Of the two signs of t the one
// that leaves the phases after it alike, none for RY; for H the other, because what comes after can wait.
struct Turn {
  Complex before, after0, after1;
  double tangent;
  double scale;
  bool flip;
};

// diag(after0, after1) (c, -s; s, c) diag(before0, before1), of unit phases: what rotations about Z, Y or X and Z
// leave.
struct Euler {
  Complex after0{1, 0}, after1{1, 0};
  double c = 1, s = 0;
  Complex before0{1, 0}, before1{1, 0};
};

inline Matrix matrix_of(const Euler& e) {
  return {e.c * (e.after0 * e.before0), -e.s * (e.after0 * e.before1), e.s * (e.after1 * e.before0),
          e.c * (e.after1 * e.before1)};
}

// For c and s that are not 0.
inline Turn turn_of(const Euler& e) {
  const double c = std::abs(e.c), s = std::abs(e.s);
  Complex p0 = std::copysign(1.0, e.c) * (e.after0 * e.before0), p1 = std::copysign(1.0, e.s) * (e.after1 * e.before0);
  const double sign = p0.re * p1.re + p0.im * p1.im < 0 ? -1 : 1;
  // m11 = conj(p1) c before, as in the turn of a matrix; m01 = -conj(p0) s before
  const Complex before = std::copysign(sign, e.c * e.s * sign) * (conj(e.before0) * e.before1);
  if (c >= s) return {before, p0, sign * p1, sign * s / c, c, false};
  return {-before, sign * p0, p1, sign * c / s, s, true};
}

inline Turn turn_of(const Matrix& m) {
  const double c = size(m.m00), s = size(m.m10);
  Complex p0 = c > 0 ? (1 / c) * m.m00 : Complex{1, 0}, p1 = s > 0 ? (1 / s) * m.m10 : Complex{1, 0};
  double sign = p0.re * p1.re + p0.im * p1.im < 0 ? -1 : 1;
  if (c >= s) {
    // m00 = p0 c, m10 = p1 c t, m11 = p1 c before
    Complex before = (sign / c) * (conj(p1) * m.m11);
    if (is_one(-before)) sign = -sign, before = -before;
    return {before, p0, sign * p1, sign * s / c, c, false};
  }
  // m00 = p0 s t, m10 = p1 s, m01 = p0 s before
  Complex before = (sign / s) * (conj(p0) * m.m01);
  if (is_one(-before)) sign = -sign, before = -before;
  return {before, sign * p0, p1, sign * c / s, s, true};
}

// matrix = basis . diag(first, second) . basis^-1
struct Spectrum {
  Matrix basis;
  Complex first, second;
};

inline Complex square_root(Complex a) {
  const double r = size(a);
  const double re = std::sqrt(std::fmax(0, (r + a.re) / 2)), im = std::sqrt(std::fmax(0, (r - a.re) / 2));
  return {re, a.im < 0 ? -im : im};
}

inline Spectrum spectrum_of(const Matrix& m) {
  // m = a (w I - i n.sigma) with |a| = 1, w^2 + |n|^2 = 1
  const Complex a = square_root(m.m00 * m.m11 - m.m01 * m.m10);
  const Complex u00 = conj(a) * m.m00, u01 = conj(a) * m.m01;
  const double w = u00.re, nx = -u01.im, ny = -u01.re, nz = -u00.im;
  const double n = std::sqrt(nx * nx + ny * ny + nz * nz);
  if (n < 1e-300) return {Matrix{}, m.m00, m.m11};
  Complex v0, v1;  // eigenvector of n.sigma / n to the eigenvalue +1
  if (nz >= 0) v0 = {n + nz, 0}, v1 = {nx, ny};
  else v0 = {nx, -ny}, v1 = {n - nz, 0};
  const double norm = 1 / std::sqrt(square(v0) + square(v1));
  v0 = norm * v0, v1 = norm * v1;
  return {{v0, -conj(v1), v1, conj(v0)}, a * Complex{w, -n}, a * Complex{w, n}};
}

}  // namespace qsim::cpu::tile
