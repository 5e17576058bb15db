"""Faults of trust."""

from ..fault import Fault

FAULTS = (
    Fault(
        "differences-are-of-one-side",
        "trust/gradients/numeric.py",
        "left = moved(-direction * step)",
        "left = moved(direction * 0 * step)",
        ("test_check_gradients.py",),
    ),
    Fault(
        "every-error-is-taken-for-a-kink",
        "trust/gradients/numeric.py",
        'found = Compared(automatic, numeric, "wrong", error)',
        'found = Compared(automatic, numeric, "kink", error)',
        ("test_check_gradients.py::test_a_function_with_a_gradient_of_its_own",),
    ),
    Fault(
        "a-gradient-that-is-missing-is-nothing-to-look-at",
        "trust/gradients/rows.py",
        "verdict = _verdict([*compared, *(each for _, each in single)])",
        'verdict = "zero" if not known.any() else _verdict(compared)',
        ("test_check_gradients.py::test_a_layer_of_a_users_own",),
    ),
    Fault(
        "replicas-are-compared-with-the-engines-own-loss",
        "trust/gradients/check.py",
        "gradients = recording.of_step(model, batch, own)",
        "gradients = recording.of_step(reference, batch, own)",
        (
            "test_check_gradients.py::test_a_recipe_on_replicas_and_a_fault_of_the_engine",
        ),
    ),
    Fault(
        "steps-leave-the-ball",
        "trust/attacks/ball.py",
        "change = tf.clip_by_value(change, -epsilon, epsilon)",
        "change = tf.clip_by_value(change, -2 * epsilon, 2 * epsilon)",
        ("test_attack.py::test_everything_stays_in_the_ball",),
    ),
    Fault(
        "attacks-go-downhill",
        "trust/attacks/ball.py",
        "return self.within(x, now + direction * size * self._scale(x))",
        "return self.within(x, now - direction * size * self._scale(x))",
        ("test_attack.py::test_accuracy_falls_with_epsilon",),
    ),
    Fault(
        "random-points-are-the-same-on-every-replica",
        "trust/attacks/ball.py",
        "unit = _by_place.uniform(shape, offset, seed, draw)",
        "unit = _by_place.uniform(shape, 0 * offset, seed, draw)",
        ("test_attack.py::test_random_points_know_their_place",),
    ),
    Fault(
        "a-masked-gradient-is-believed",
        "trust/attacks/masking.py",
        "return Judgement(bool(signs), tuple(signs))",
        "return Judgement(len(signs) > 4, tuple(signs))",
        ("test_attack.py::test_each_sign_of_masking",),
    ),
    Fault(
        "the-attack-stays-in-the-model",
        "trust/adversarial/training.py",
        "        keras_private.remove_seed_generator(model, attack.draws)\n",
        "        del model\n        return None\n",
        ("test_adversarial_training.py::test_finish_gives_the_model_back",),
    ),
    Fault(
        "steps-before-a-kill-cost-nothing",
        "trust/privacy/ledger.py",
        "self.sessions.append(Session(mechanism))",
        "self.sessions = [Session(mechanism)]",
        ("test_private_training.py::test_steps_after_a_kill_count_again",),
    ),
    Fault(
        "the-smaller-epsilon-counts",
        "trust/privacy/accountant.py",
        "return max(self.pld, self.rdp)",
        "return min(self.pld, self.rdp)",
        ("test_private_training.py",),
    ),
    Fault(
        "adam-steps-on-moving-statistics",
        "trust/federated/averaging.py",
        'if kind == "trained":\n                if noise',
        'if kind != "counter":\n                if noise',
        ("test_federated.py",),
    ),
    Fault(
        "a-killed-client-ends-the-round",
        "trust/federated/processes.py",
        "dropped[client] = str(error)",
        "failures.append(error)",
        ("test_federated.py::test_clients_that_give_no_answer_drop_out",),
    ),
)
