"""Damped least squares: the linear problem that each Levenberg-Marquardt step solves."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array

SOLVERS = ("qr", "normal")


def damped_step(jacobian: Array, residuals: Array, weights: Array, solver: str = "qr") -> Array:
    """Return the h that makes |r + J h|^2 + sum(weights * h^2) least; of several the shortest.

    Args:
        jacobian: float64[m, n].
        residuals: float64[m].
        weights: float64[n], not negative: how much each number of h counts.
        solver: "qr" takes the QR decomposition of J above the roots of the weights. "normal" solves
            (J'J + weights) h = -J'r, which is faster and squares the condition of J. With fewer
            residuals than unknowns and positive weights both solve the m equations of the dual
            problem. Where that fails, a singular value decomposition takes over.

    Returns:
        float64[n].

    >>> damped_step(np.array([[1.0], [1.0]]), np.array([-1.0, -3.0]), np.zeros(1)).round(12)
    array([2.])
    >>> damped_step(np.array([[1.0, 1.0]]), np.array([-2.0]), np.zeros(2)).round(12)
    array([1., 1.])
    """
    m, n = jacobian.shape
    positive = bool((weights > 0).all())
    try:
        if m < n:
            h = _by_dual(jacobian, residuals, weights) if positive else None
        elif solver == "normal":
            h = _by_normal_equations(jacobian, residuals, weights)
        else:
            h = _by_qr(jacobian, residuals, weights)
    except np.linalg.LinAlgError:
        h = None
    if h is not None and np.isfinite(h).all():
        return h
    whole = np.concatenate([jacobian, np.diag(np.sqrt(weights))])
    right = np.concatenate([-residuals, np.zeros(n)])
    shortest: Array = np.linalg.lstsq(whole, right, rcond=None)[0]
    return shortest


def _by_qr(J: Array, r: Array, weights: Array) -> Array | None:
    """Return h by the triangle R of [J, r; sqrt(weights), 0]; None if that is singular."""
    m, n = J.shape
    whole = np.zeros((m + n, n + 1))
    whole[:m, :n], whole[:m, n] = J, r
    np.fill_diagonal(whole[m:], np.sqrt(weights))
    R: Any = np.linalg.qr(whole, mode="r")
    pivots = np.abs(np.diag(R[:n, :n]))
    if not pivots.min() > np.finfo(float).eps * (m + n) * pivots.max():
        return None
    h: Array = -np.linalg.solve(R[:n, :n], R[:n, n])
    return h


def _by_normal_equations(J: Array, r: Array, weights: Array) -> Array | None:
    """Return h by J'J; None if that is not clearly positive definite."""
    A = J.T @ J
    np.fill_diagonal(A, np.diag(A) + weights)
    pivots = np.diag(np.linalg.cholesky(A))
    if not pivots.min() > np.sqrt(np.finfo(float).eps * len(A)) * pivots.max():
        return None
    h: Array = -np.linalg.solve(A, J.T @ r)
    return h


def _by_dual(J: Array, r: Array, weights: Array) -> Array:
    """Return h = -W J' (J W J' + 1)^-1 r, where W is one over the weights."""
    spread = J / weights
    A = spread @ J.T
    np.fill_diagonal(A, np.diag(A) + 1)
    np.linalg.cholesky(A)  # an error unless it is positive definite
    h: Array = -spread.T @ np.linalg.solve(A, r)
    return h
