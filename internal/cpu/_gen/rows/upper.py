#!/usr/bin/env python3
"""Fits the polynomial of vecGELU: Q(z)·e^(z²/2)/t in t = 1/(1 + RATE·z), Q the upper tail of the normal distribution.

Needs numpy and mpmath. Prints the coefficients from the highest power down, and the largest relative error over 0 ≤ z ≤ 14,
beyond which z·Q(z) is no f32.
"""
import mpmath as mp
import numpy as np

RATE, DEGREE = 0.35, 8
mp.mp.dps = 40


def fit(rate, degree):
    z = np.concatenate([14 * (1 - np.cos(np.linspace(0, np.pi / 2, 1500))), np.linspace(0, 3, 500)])
    t = 1 / (1 + rate * z)
    target = np.array([float(mp.erfc(mp.mpf(x) / mp.sqrt(2)) / 2 * mp.exp(mp.mpf(x) ** 2 / 2) / u) for x, u in zip(z, t)])
    powers = np.vander(2 * t - 1, degree + 1) / target[:, None]
    weight, best = np.ones(len(z)), None
    for _ in range(300):  # Lawson's iteration towards the minimax fit of the relative error
        c = np.linalg.lstsq(powers * np.sqrt(weight)[:, None], np.sqrt(weight), rcond=None)[0]
        error = np.abs(powers @ c - 1)
        if best is None or error.max() < best[0]:
            best = error.max(), c
        weight *= error
        weight /= weight.sum()
    in_t = np.poly1d(best[1])(np.poly1d([2, -1]))
    return best[0], in_t.coeffs


if __name__ == "__main__":
    error, coefficients = fit(RATE, DEGREE)
    print(", ".join(f"{c:.10g}" for c in coefficients))
    print(f"largest relative error {error:.2g}")
