r"""Mean-field theory of node perturbation in linear networks.

A student learns a linear teacher, ``y* = A x + sigma_t zeta`` with x and zeta standard normal, one new sample a step:
Hiratani et al., "On the stability and scalability of node perturbation learning" (NeurIPS 2022, [H] below), Eq. 11;
`noisysim.tasks` has it as ``student-teacher``. With one hidden layer, ``y = W2 W1 x`` ([H] Eq. 10), the weights' error
is ``E = W2 W1 - A``, a sample's ``e = E x - sigma_t zeta``, and node perturbation at small sigma changes weights by::

    dW1 = -rate s xi1 x^T,    dW2 = -rate s xi2 (W1 x)^T,    s = e . (W2 xi1 + xi2)

with unit Gaussian xi1 and xi2. That is the learner ``"np"`` with sgd, batch size 1 and the loss ``"mse"``, which is
half the squared error. `LinearStudent` follows the mean of it in two forms:

- four variables: every mean exact to second order in the rate, finite sizes included, and closed as for matrices
  without preferred directions. Each step is so at any size; a course is not, since directions learn at different
  speeds and the slowest are what is left: the true error falls more slowly than said, the sooner the narrower the
  hidden layer. At half the critical rate the mean error of 400 simulated networks, inputs-hidden-outputs, is within
  10 % of the theory's while that falls by 0.6 decades (20-20-5), 0.8 (30-30-3), 1.4 (20-100-5) and 3 (20-400-5). Where
  the theory has fallen by 2 decades the networks have 2.6, 1.8, 1.24 and 1.02 times its error, at 3 decades 6.0,
  2.9, 1.55 and 1.08 times (``noisysim reproduce theory-range``). With 100 inputs and 10,000 hidden units it is within
  4 % down to an error of 1e-3, at 0.8 of the critical rate ([H] Fig. 1). And each update widens W1 along its own
  input alone: far above the critical rate, where the error turns up within a few times n_in updates, these are not
  yet all directions, and it turns up earlier than said (by 40 % at 2 eta*).
- two variables, [H] Eq. 12: the limit n_hidden >> n_in >> 1, n_hidden >> n_out >> 1. It has a conserved quantity,
  and with it a critical rate and training times. It leaves out what W2 learns, a share of 1 / (1 + p n_out / (q n_in))
  of all (p = |W1|^2, q = |W2|^2): the half of it at first, so that its times are too long at any width simulated here.

Without a hidden layer the mean is linear and exact (`regression_error`, `regression_time`).
"""

from noisysim.learners.theory.linear_student import LinearStudent
from noisysim.learners.theory.orders import BLOWN_UP, Order, Traces, Trajectory
from noisysim.learners.theory.regression import regression_error, regression_time, sgd_time

__all__ = [
    "BLOWN_UP", "LinearStudent", "Order", "Traces", "Trajectory", "regression_error", "regression_time", "sgd_time",
]  # fmt: skip
