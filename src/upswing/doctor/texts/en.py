"""The doctor's texts in English."""

from upswing.doctor.texts import RuleText, Texts
from upswing.doctor.texts.en_actions import ACTIONS
from upswing.doctor.texts.en_causes import CAUSES
from upswing.doctor.texts.en_plan import PLAN
from upswing.doctor.texts.en_words import MEASURES, NOTES, ORIGINS, REASONS, WORDS

RULES = {
    "B01": RuleText(
        "Not a number",
        {"": "{tag} was not a finite number at step {step:,}: from there on the parameters cannot be trusted."},
        "The value was never used: for example a mean over no episodes. Figures of the loss are never of that kind.",
        "Every figure of the update was a finite number.",
    ),
    "B02": RuleText(
        "Ratio is not 1",
        {
            "": "Before the first gradient step of an update the probability ratios differ from 1 by {value:.2g}, in {share:.0%} of the updates. "
            "Nothing has changed yet, so they should be 1."
        },
        "The policy contains something random by design (dropout), or mixed precision explains differences up to 0.01.",
        "Ratios are 1 before an update changes anything.",
    ),
    "B03": RuleText(
        "KL is negative",
        {
            "": "The KL estimate (r − 1 − log r) reached {value:.2g}. It cannot be negative: old and new log-probabilities do not belong together."
        },
        "The log shows another estimator: the mean of −log r may be negative.",
        "The KL estimate is never negative.",
    ),
    "B04": RuleText(
        "Policy does not move",
        {
            "": "Updates do not change the policy: KL {kl:.1g}, no ratio clipped and the same entropy as at the start, at a learning rate of {lr:.2g}."
        },
        "The learning rate is meant to be this small, or only the critic is being trained for now.",
        "Updates change the policy.",
    ),
    "P01": RuleText(
        "Updates too large",
        {"": "Each update moves the policy too far: KL {kl:.3g}, where this run's settings allow about {limit:.2g}."},
        "With half the learning rate, the KL falls within 20 updates and the return is no better.",
        "Updates stay within the trust region.",
    ),
    "P02": RuleText(
        "Updates too small",
        {"": "Updates hardly move the policy: KL {kl:.2g}, where {limit:.2g} and more is usual. Learning crawls."},
        "With twice the learning rate the KL rises and the return learns no faster.",
        "Updates move the policy enough.",
    ),
    "P03": RuleText(
        "Most ratios clipped",
        {
            "": "{share:.0%} of the probability ratios end outside the clip range: those samples no longer teach anything."
        },
        "With half the learning rate or fewer epochs the share falls and the return is no better.",
        "The clip range holds most samples.",
    ),
    "P04": RuleText(
        "Few huge ratios",
        {
            "": "The KL is {factor:.1f} times what the clip fraction of the same minibatches explains: a few ratios are huge."
        },
        "The largest log ratios, looked at, are ordinary.",
        "KL and clip fraction tell the same story.",
    ),
    "P05": RuleText(
        "Learning rate at its bound",
        {
            "floor": "The adaptive learning rate sits at its lowest value {bound:.2g} in {share:.0%} of the updates: even so the KL stays above its target.",
            "ceiling": "The adaptive learning rate sits at its highest value {bound:.2g} in {share:.0%} of the updates: the gradients carry little signal.",
        },
        "With a wider bound the rate stays where it is and the return does not change.",
        "The adaptive learning rate moves freely between its bounds.",
    ),
    "P06": RuleText(
        "Epochs cut short",
        {
            "": "The KL limit ends {share:.0%} of the updates within their first of {planned} epochs: most of the data is used once or less."
        },
        "It is meant so: with a higher target_kl the return is no better.",
        "Updates finish more than one epoch.",
    ),
    "P07": RuleText(
        "Exploration ended early",
        {
            "": "The policy has settled: its entropy is {share:.1%} of the maximum, before the return got anywhere.",
            "std": "The policy has settled: σ fell from {start:.2g} to {std:.2g} before the return rose.",
        },
        "With a higher ent_coef the entropy stays up and the return is no better: the task was solved as well as it can be.",
        "The policy keeps exploring until it has learned something.",
    ),
    "P08": RuleText(
        "Policy stays random",
        {
            "": "After a third of the run the policy still acts at random: entropy at {share:.0%} of its maximum, and the return does not rise.",
            "end": "To the end of the run the policy acts nearly at random: entropy at {share:.0%} of its maximum, and it no longer falls.",
            "needless": "Without randomness the policy reaches {evaluation:.4g}, with it {training:.4g}: it acts far more at random than it needs to.",
        },
        "The best policy of this task is a random one.",
        "The policy prefers some actions over others.",
    ),
    "P09": RuleText(
        "Randomness grows",
        {
            "": "The policy becomes more random instead of less: σ went from {start:.2g} to {end:.2g} while the return did not rise.",
            "needless": "Without randomness the policy reaches {evaluation:.4g}, with it {training:.4g}: σ is far larger than it needs to be.",
        },
        "σ comes down by itself once the return rises.",
        "σ does not run away.",
    ),
    "P10": RuleText(
        "Actions at their limits",
        {
            "": "{share:.0%} of the executed action components lie at the bounds of the action space: what the policy says beyond them has no effect."
        },
        "The best policy is all-or-nothing (bang-bang), and the return is good.",
        "Actions use the inside of their range.",
    ),
    "V01": RuleText(
        "Critic foresees nothing",
        {
            "negative": "The critic predicts returns worse than a constant would: explained variance {ev:.2f}. Advantages are mostly noise.",
            "low": "The critic predicts little of the returns: explained variance {ev:.2f}, where 0.5 and more is usual.",
        },
        "Returns depend on chance alone, or hardly vary; then no critic can foresee them.",
        "The critic foresees returns.",
    ),
    "V02": RuleText(
        "Nothing to explain",
        {"": "Returns no longer vary."},
        "Returns vary.",
        "Returns vary, so explained variance has a meaning.",
    ),
    "V03": RuleText(
        "Critic is off by a constant",
        {
            "": "The critic is wrong by {bias:.2f} standard deviations of the returns on average, which explained variance cannot see."
        },
        "The error shrinks by itself within the next tens of updates.",
        "The critic is right on average.",
    ),
    "V04": RuleText(
        "Returns on an awkward scale",
        {
            "large": "The critic has to learn numbers around {size:.2g}. Networks learn numbers around 1; its error drowns the policy's gradient.",
            "outliers": "Rewards are normalised, and still the critic has to learn numbers around {size:.2g}: rare rewards stand far out.",
            "small": "The critic has to learn numbers around {size:.2g}, far below the noise of its own first weights.",
        },
        "With normalize_reward the explained variance and the return do not improve.",
        "Returns are of a size that networks learn well.",
    ),
    "V05": RuleText(
        "Value loss jumps",
        {
            "": "The value loss, measured against the spread of its targets, jumped {n} times, to {worst:.1f} at worst, first at step {onset:,}."
        },
        "The jumps coincide with real changes of the return.",
        "The value loss stays in proportion to its targets.",
    ),
    "V06": RuleText(
        "Value loss jitters",
        {"": "The value loss scatters {ratio:.1f} times as much around its trend as it did in the first half."},
        "The returns themselves changed scale at that time.",
        "The value loss is no more restless than before.",
    ),
    "O01": RuleText(
        "Gradient spikes",
        {
            "": "{n} updates met gradients more than ten times the usual, {worst:.0f} times at worst, first at step {onset:,}."
        },
        "The spikes follow rare, genuine rewards, and the return is unharmed.",
        "Gradients are of even size.",
    ),
    "O03": RuleText(
        "Units gone silent",
        {"": "{share:.0%} of the hidden units no longer react to what the policy sees."},
        "The return is as good as a fresh network's.",
        "Nearly all hidden units react to their inputs.",
    ),
    "A01": RuleText(
        "Advantages in raw units",
        {
            "raw": "The policy loss has a size of {loss:.2g}. With normalised advantages it cannot exceed about ±0.3: they reach the loss in reward units.",
            "": "Advantages have a mean of {ratio:.2f} standard deviations before normalisation; it should be near 0.",
        },
        "Advantages are scaled in some other way before the log is written.",
        "Advantages are centred, and of ordinary size.",
    ),
    "N01": RuleText(
        "Observations badly scaled",
        {
            "large": "One observed feature has a standard deviation of {value:.2g}, and observations are not normalised.",
            "offset": "One observed feature lies {value:.2g} standard deviations (or units) from 0, and observations are not normalised.",
            "clipped": "{value:.1%} of the normalised observations are clipped: the normaliser does not fit what is seen now.",
        },
        "With normalize_obs the return is no better.",
        "Observed features are of ordinary size.",
    ),
    "T01": RuleText(
        "How episodes end",
        {
            "limit": "{share:.0%} of the episodes end after exactly {length} steps, and none is reported as cut off: a time limit seems to pass for a real end.",
            "cut": "{told:.0%} of the episodes are reported as cut off, but only {share:.0%} last as long as the longest: real ends seem to pass for time limits.",
            "bootstrapped": "bootstrap_terminations continues the value beyond real ends: dying or finishing costs nothing.",
        },
        "The task really ends after that many steps; or in it, going on beyond the end is right.",
        "Time limits and real ends are told apart.",
    ),
    "T02": RuleText(
        "Too short a horizon",
        {
            "gamma": "gamma {gamma:g} looks {reach:.1f} steps ahead: what an action causes later than that does not count.",
            "rollout": "n_steps {n_steps} is so short that only {seen:.0%} of what GAE looks at (about {reach:.0f} steps) lies inside a rollout; the critic has to guess the rest.",
            "short": "The discount looks about {reach:.0f} steps ahead, episodes last {length:.0f}, and the return fails: rewards may come too late to be seen.",
            "lambda": "gae_lambda {lam:g} trusts the critic almost alone, and the return fails: its errors become the policy's.",
            "far": "The discount looks {reach:,.0f} steps ahead, far beyond the {length:.0f} steps of an episode: values are large and slow to learn.",
            "endless": "gamma {gamma:g} never forgets, and {cut:.0%} of the episodes are only cut off, not over: the sum that the critic is to foresee has no end.",
        },
        "Rewards follow their actions at once: a dense reward. Then a longer horizon learns no better.",
        "The learner looks far enough ahead.",
    ),
    "T03": RuleText(
        "Resets in step",
        {
            "": "All environments end their episodes together ({share:.0%} of the rollouts): rollouts of {n_steps} steps see only one part of an episode at a time, repeating every {period}."
        },
        "With staggered resets the return is no better.",
        "Environments are at different points of their episodes.",
    ),
    "S01": RuleText(
        "Too few updates",
        {
            "one": "The whole budget is one rollout: the policy is updated once.",
            "iterations": "The budget holds only {iterations:.0f} updates ({gradient_steps:,.0f} gradient steps). The policy improves only between rollouts.",
            "travel": "{gradient_steps:,.0f} gradient steps at this learning rate can move a weight by {travel:.2g} at most; weights begin with a size of about 0.1 to 1.",
        },
        "A run with the same number of gradient steps from more updates learns no better.",
        "The budget holds enough updates.",
    ),
    "S02": RuleText(
        "Minibatches do not fit",
        {
            "over": "batch_size {batch_size} exceeds the rollout of {pool} transitions: each epoch is a single gradient step on all of them.",
            "ragged": "batch_size {batch_size} does not divide the rollout of {pool} transitions: the last minibatch of each epoch has only {rest}, and counts as much.",
        },
        "It is meant so.",
        "Minibatches fill the rollout evenly.",
    ),
    "S03": RuleText(
        "Noisy plateau",
        {
            "": "The return stands and scatters ({noise:.0%} of its whole rise) while updates look healthy: each may see too little data to find the way on."
        },
        "With four times the environments the return still stands.",
        "No noisy plateau.",
    ),
    "S04": RuleText(
        "A setting far from usual",
        {
            "low": "{name} is {value:.3g}, far below its usual range of {low:g} to {high:g}.",
            "high": "{name} is {value:.3g}, far above its usual range of {low:g} to {high:g}.",
        },
        "The same run with a usual value ends with the same return.",
        "Every setting lies near its usual range.",
    ),
    "S05": RuleText(
        "Too few evaluations",
        {
            "few": "The run is evaluated {count:.0f} times: too few points to see a curve.",
            "untrained": "eval_freq {freq} lies beyond the whole run of {total:,.0f} steps: not one evaluation falls between its updates. A script that "
            "evaluates before the first update, as ManiSkill's does, would score only the untrained policy.",
            "off": "eval_freq 0 evaluates the final policy alone.",
        },
        "The returns of training are all that is wanted.",
        "There are enough evaluations to see a curve.",
    ),
    "L01": RuleText(
        "Learning rate schedule",
        {
            "dead": "The learning rate is below 1 % of its start for the last {share:.0%} of the budget: those steps teach nothing.",
            "leap": "The learning rate leapt from {before:.2g} to {after:.2g} at step {step:,}, as after a resume that restarted the schedule.",
        },
        "It is meant so: the tail is for evaluation, or the leap is a warm restart.",
        "The learning rate follows the budget.",
    ),
    "R01": RuleText(
        "Return does not rise",
        {
            "flat": "The return never rose beyond its own noise: {start:.4g} at the start, {final:.4g} now.",
            "far": "The return stands at {final:.4g}; PPO is known to reach {goal:.4g} here.",
            "rising": "The return still rises, but ends at {final:.4g}; PPO is known to reach {goal:.4g} here.",
            "training": "Evaluations reach {evaluation:.4g}, but the episodes of training end at {final:.4g}; {goal:.4g} is known to be reachable.",
            "plateau": "The return rose from {start:.4g} to {final:.4g} and stands there.",
        },
        "The return is as high as this task allows, or goes on rising with twice the budget.",
        "The return rises, or is where it should be.",
    ),
    "R02": RuleText(
        "Return collapsed",
        {
            "": "The return had reached {best:.4g} at step {best_step:,} and has fallen to {final:.4g}: {lost:.0%} of its rise is lost."
        },
        "The task itself became harder at that time (a curriculum).",
        "The return keeps what it gained.",
    ),
    "R03": RuleText(
        "Evaluation falls behind",
        {
            "": "Evaluations score {evaluation:.4g} where training episodes reach {train:.4g}: what is trained and what is evaluated are not the same."
        },
        "Stochastic actions are part of the solution: evaluate with them and the gap closes.",
        "Evaluations agree with training.",
    ),
    "R04": RuleText(
        "No signal",
        {
            "never": "Nearly all episodes end with the same return, {value:.4g}: the policy cannot tell good actions from bad.",
            "constant": "Nearly all episodes now end with the same return, {value:.4g}: it is the maximum, or the policy is stuck there.",
        },
        "That return is the best possible.",
        "Episodes differ in their returns: there is something to learn from.",
    ),
    "F01": RuleText(
        "Slow updates",
        {
            "share": "The update takes {share:.0%} of the time ({seconds:.2g} s each).",
            "slowing": "The run has slowed from {before:,.0f} to {after:,.0f} steps/s.",
            "suspected": "Only {fps:.0f} steps/s. The log does not say where the time goes; tiny batches with many epochs are a common reason.",
        },
        "A few iterations with fewer epochs or a larger batch are no faster.",
        "The update takes a fair share of the time.",
    ),
    "F02": RuleText(
        "Slow environments",
        {"": "The environments take {share:.0%} of the time."},
        "More workers make it no faster: the environment waits for something that is not computed.",
        "The environments take a fair share of the time.",
    ),
    "E01": RuleText(
        "Too few seeds", {"": "One run proves little."}, "Five paired seeds show the same.", "Enough seeds."
    ),
}

EN = Texts(RULES, CAUSES, MEASURES, ORIGINS, REASONS, NOTES, WORDS, PLAN, ACTIONS)
