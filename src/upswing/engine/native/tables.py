"""What kernels are told and what they tell, as numbered entries of float64 arrays."""

from __future__ import annotations

# settings of an update
LEARNING_RATE, CLIP_RANGE, CLIP_RANGE_VF, ENT_COEF, VF_COEF, MAX_GRAD_NORM, TARGET_KL, ADAM_EPS, NORMALIZE = range(9)
N_SETTINGS = 9
# CLIP_RANGE_VF is infinite where values are not clipped, TARGET_KL where nothing stops the epochs; NORMALIZE is 1
# where advantages are normalised in each minibatch.

# figures of one minibatch, means over its transitions
POLICY_LOSS, VALUE_LOSS, ENTROPY_LOSS, KL, CLIPPED = range(5)
N_FIGURES = 5
WORST_RATIO = N_FIGURES  # the largest |r - 1|, beside the means

# totals of an update: the sums of the five figures over all minibatches, then
(
    N_MINIBATCHES,
    LOSS,  # of the last minibatch
    KL_MAX,
    RATIO_ERROR,  # of the first minibatch
    NORM,  # sum over steps
    NORM_MAX,
    N_CLIPPED_STEPS,
    N_STEPS,
    EPOCH_KL,  # sums over the epoch that ran last
    EPOCH_CLIPPED,
    EPOCH_MINIBATCHES,
    N_EPOCHS,
    STOPPED,  # 1 where KL ended the epochs
    DIVERGED,  # 1 where a loss or gradient was not finite; the step was not taken
    ADAM_STEPS,  # since the start of training
) = range(N_FIGURES, N_FIGURES + 15)
N_TOTALS = N_FIGURES + 15

# statistics of a rollout
ADV_MEAN, ADV_STD, RETURN_MEAN, RETURN_STD, RESIDUAL_MEAN, RESIDUAL_STD = range(6)
N_ROLLOUT_FIGURES = 6
