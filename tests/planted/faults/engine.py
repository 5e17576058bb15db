"""Faults of the engine: model, step, execution, data, collectives, compat."""

from ..fault import Fault

_MATRIX = "parity/test_matrix.py::test_equals_one_device"


def _equals(*cases: str) -> tuple[str, ...]:
    """Cases that are trained on several replicas, and compared with one."""
    return tuple(f"{_MATRIX}[{case}-mirrored:2-float64]" for case in cases)


FAULTS = (
    # --------------------------------------------------------- model and state
    Fault(
        "regularization-counts-once-for-each-replica",
        "engine/step/replica_step.py",
        "losses += [_as_float(tf.reduce_sum(loss)) for loss in self.losses]",
        "losses += [\n            here.replicas * _as_float(tf.reduce_sum(loss))"
        " for loss in self.losses\n        ]",
        _equals("activity_regularizer", "add_loss"),
    ),
    Fault(
        "the-loss-that-is-shown-counts-slices-alike",
        "engine/step/replica_step.py",
        "tracker.update_state(loss, sample_weight=here.count)",
        "tracker.update_state(loss)",
        _equals("uneven"),
    ),
    Fault(
        "a-variable-of-the-optimizer-is-not-restored",
        "engine/state.py",
        'groups["optimizer"] = optimizer.variables',
        'groups["optimizer"] = optimizer.variables[:-1]',
        ("test_state.py",),
    ),
    # -------------------------------------------------------------------- step
    Fault(
        "the-loss-is-divided-by-the-slice",
        "engine/step/losses.py",
        "return tf.cast(here.size * each, values.dtype)",
        "return tf.cast(here.count * each, values.dtype)",
        _equals("uneven"),
    ),
    Fault(
        "weights-of-a-mean-are-summed-by-replica",
        "engine/step/losses.py",
        "(divisor,) = all_reduce.all_reduce("
        "[tf.reduce_sum(_times_rows(weights, rows))])",
        "divisor = tf.reduce_sum(_times_rows(weights, rows))",
        (f"{_MATRIX}[reduction_mean_with_sample_weight-mirrored:2-float64]",),
    ),
    Fault(
        "of-a-shared-update-moments-stay-with-one-worker",
        "engine/execution/replica_loop.py",
        "RowLoops(self.execution, self._one, self._step.hand_over)",
        "RowLoops(self.execution, self._one)",
        (
            "parity/test_forms.py::test_equals_single_steps"
            "[adamw-shared:2+shares-float64]",
        ),
    ),
    Fault(
        "gradients-are-clipped-before-they-are-summed",
        "engine/step/step.py",
        "self._all_reduce_both(gradients, seen)",
        "self._all_reduce_both(self.view._clip_gradients(gradients), seen)",
        _equals("global_clipnorm"),
    ),
    Fault(
        "ranges-of-replicas-are-added-up",
        "engine/step/observations.py",
        "tf.reduce_max(each, 0)",
        "tf.reduce_sum(each, 0)",
        _equals("quantization"),
    ),
    Fault(
        "a-resized-image-is-taken-for-training",
        "engine/compat/keras_private.py",
        'context.set_value("training", before)',
        'context.get_value("training")',
        ("test_keras_faults.py",),
    ),
    Fault(
        "a-sum-of-slices-is-finite-beyond-float16",
        "engine/step/half_range.py",
        "tf.abs(total) < _INFINITE",
        "tf.abs(total) < float('inf')",
        (f"{_MATRIX}[overflow_of_a_sum-mirrored:2-mixed_float16]",),
    ),
    Fault(
        "accumulated-gradients-are-not-divided",
        "engine/step/step.py",
        "means = [t / self.micro_batches for t in total]",
        "means = [t / self.replicas for t in total]",
        _equals("accumulation"),
    ),
    Fault(
        "batch-statistics-are-those-of-a-replica",
        "engine/step/batch_norm.py",
        "count, total = global_sum([tf.stop_gradient(count), total])",
        "count = tf.stop_gradient(count)",
        _equals("batch_normalization"),
    ),
    Fault(
        "metrics-are-those-of-one-replica",
        "engine/step/metrics.py",
        "return shared_memory.all_reduce_figures(",
        "return list(",
        _equals("uneven"),
    ),
    Fault(
        "the-row-of-an-empty-slice-counts",
        "engine/step/build.py",
        "counted = here.count > 0",
        "counted = here.count >= 0",
        _equals("empty_slice_dense"),
    ),
    # -------------------------------------------------------------------- data
    Fault(
        "rows-that-are-left-over-are-dropped",
        "engine/data/shard.py",
        "return offset, each + tf.cast(replica < left, size.dtype)",
        "return offset, each",
        _equals("uneven"),
    ),
    Fault(
        "slices-of-any-size-count-alike",
        "engine/data/shard.py",
        "return tf.cast(self.count, dtype) / tf.cast(self.size, dtype)",
        "return tf.cast(1 / self.replicas, dtype)",
        _equals("uneven", "empty_slice_dense"),
    ),
    Fault(
        "every-epoch-has-the-order-of-the-first",
        "engine/data/set_epoch.py",
        "        self.epoch.assign(epoch)\n",
        "        self.epoch.assign(0)\n",
        ("test_orders_of_epochs.py",),
    ),
    Fault(
        "an-epoch-that-goes-on-is-skipped-twice",
        "engine/data/set_epoch.py",
        "            self._skip = 0\n",
        "            pass\n",
        (
            "test_orders_of_epochs.py",
            "test_execution.py::test_it_goes_on_in_the_middle_of_an_epoch",
        ),
    ),
    # --------------------------------------------------------------- execution
    Fault(
        "the-smaller-batch-of-a-program-is-skipped",
        "engine/execution/compiled_loop.py",
        "if full < steps:",
        "if not full:",
        ("test_execution.py::test_one_program_equals_single_steps[accumulation]",),
    ),
    Fault(
        "parts-of-a-batch-weigh-alike",
        "engine/execution/split.py",
        "size=tf.constant(self._batch_size, tf.int64),",
        "size=tf.constant(count * len(self._slices), tf.int64),",
        ("test_split.py::test_split_equals_whole",),
    ),
    Fault(
        "any-step-is-known-to-agree",
        "engine/execution/first_batch.py",
        "is_known = int(agreement is not None and agreement.is_known())",
        "is_known = 1",
        ("test_parity_check.py::test_it_is_refused_by_name[contrastive_in_compile]",),
    ),
    Fault(
        "a-batch-that-couples-its-rows-is-split",
        "engine/execution/split.py",
        "if compared.problems or compared.left_out:",
        "if compared.left_out:",
        ("test_split.py",),
    ),
    Fault(
        "rates-in-a-program-are-those-of-the-next-update",
        "engine/step/schedule_rates.py",
        "counts = first + tf.range(num, dtype=first.dtype)",
        "counts = first + 1 + tf.range(num, dtype=first.dtype)",
        ("test_execution.py::test_a_schedule_gives_the_same_rates_in_every_mode",),
    ),
    Fault(
        "trials-train-the-model",
        "engine/execution/trials.py",
        "        state.put_back(model, before)\n",
        "        del before\n",
        ("test_execution.py::test_a_trial_changes_nothing",),
    ),
    Fault(
        "of-batches-beside-each-other-the-last-counts",
        "engine/execution/test_loop.py",
        "(s + a.read(place) for",
        "(0 * s + a.read(place) for",
        ("test_beside.py",),
    ),
    Fault(
        "the-last-row-of-a-predicted-batch-is-lost",
        "engine/execution/beside.py",
        "last = tf.minimum(begin + batch_size, total)",
        "last = tf.minimum(begin + batch_size, total - 1)",
        ("test_beside.py",),
    ),
    Fault(
        "a-smaller-batch-is-gathered-in-the-loop-of-the-others",
        "engine/execution/executor.py",
        "return full if has_smaller and 0 < full < most else 0",
        "return 0",
        (
            "parity/test_forms.py::"
            "test_equals_single_steps[sparse_gradients-mirrored:2+loop-float64]",
        ),
    ),
    Fault(
        "batches-that-differ-are-gathered-in-one-loop",
        "engine/execution/executor.py",
        "loop_shapes.may_change()\n        return self.in_a_loop",
        "return self.in_a_loop",
        (
            "parity/test_matrix.py::"
            "test_equals_one_device[tf_data_padded_four_at_once-mirrored:2-float64]",
        ),
    ),
    Fault(
        "slices-of-predictions-are-joined-backwards",
        "engine/execution/prediction_loop.py",
        "lambda *ts: tf.concat(ts, 0)",
        "lambda *ts: tf.concat(ts[::-1], 0)",
        ("test_beside_replicas.py",),
    ),
    Fault(
        "a-graph-is-known-in-its-own-process-alone",
        "engine/compat/tensorflow_private.py",
        "ranks[int(found[0])]",
        "found[0]",
        (
            "test_tensorflow_private.py::"
            "test_graphs_are_the_same_wherever_their_names_begin",
        ),
    ),
    # ------------------------------------------------------------------ parity
    Fault(
        "coupled-rows-are-not-refused",
        "engine/parity/check.py",
        "        if found and not is_of_gradients(found):\n",
        "        if found:\n            found = []\n        if found:\n",
        ("test_parity_check.py",),
    ),
    Fault(
        "metrics-of-slices-are-not-compared",
        "engine/parity/differences.py",
        "            found = self._of_metrics(whole, parts)\n",
        "            found = []\n",
        ("test_parity_check.py",),
    ),
    Fault(
        "the-check-changes-the-model",
        "engine/parity/observing.py",
        "keras_private.Aside(self._scales) as scope,",
        "contextlib.nullcontext(keras_private.Aside([])) as scope,",
        ("test_parity_check.py",),
    ),
    Fault(
        "a-scalar-of-a-slice-counts-as-one-of-a-batch",
        "engine/step/scalar_means.py",
        "sample_weight = here.share(tf.as_dtype(self.dtype))",
        "pass",
        ("test_parity_check.py",),
    ),
    Fault(
        "values-of-another-number-are-divided-by-rows",
        "engine/step/losses.py",
        "if not self.by_row:",
        "if False:",
        ("test_parity_check.py",),
    ),
    Fault(
        "an-average-teacher-follows-the-weights-before-the-update",
        "engine/step/step.py",
        "self.updates_inside = custom and self.replicas > 1 and not self.micro_batches",
        "self.updates_inside = False",
        (
            "test_coupled_losses.py",
            f"{_MATRIX}[two_updates_in_a_step-mirrored:2-float64]",
        ),
    ),
    Fault(
        "a-loss-in-a-step-is-divided-by-replicas",
        "engine/step/slice_losses.py",
        "return value * tf.distribute.get_strategy().num_replicas_in_sync",
        "return value",
        ("test_coupled_losses.py",),
    ),
    Fault(
        "a-prediction-does-not-know-its-place",
        "engine/execution/prediction.py",
        "here = shard.of(where, len(ids))",
        "here = None",
        ("test_parity_check.py::test_predictions_know_the_batch[draws]",),
    ),
    Fault(
        "draws-without-a-seed-make-variables-in-a-replica",
        "engine/step/randomness.py",
        "return vars(model).get(_UNSEEDED)",
        "return None",
        (
            "test_parity_check.py::test_what_is_not_compared_trains_and_is_said"
            "[unseeded_of_keras]",
        ),
    ),
    Fault(
        "a-hook-behind-the-update-is-forgotten",
        "engine/step/step.py",
        "                hook()\n",
        "                pass\n",
        ("test_coupled_losses.py::test_after_update_runs_once_for_each_update",),
    ),
    Fault(
        "logs-of-ones-own-are-those-of-the-first-replica",
        "engine/step/own_logs.py",
        "return tf.math.multiply_no_nan(value, here.share(value.dtype))",
        "return tf.where(here.offset > 0, tf.zeros_like(value), value)",
        ("../drop_in/test_drop_in.py::test_as_keras[logs_of_a_step_of_ones_own-two]",),
    ),
    # ------------------------------------------------------------- collectives
    Fault(
        "gradients-are-averaged-instead-of-summed",
        "engine/collectives/all_reduce.py",
        "tf.distribute.ReduceOp.SUM, [buffers[i] for i in places]",
        "tf.distribute.ReduceOp.MEAN, [buffers[i] for i in places]",
        _equals("uneven"),
    ),
    Fault(
        "one-worker-alone-cannot-ask-for-a-stop",
        "engine/collectives/stop_votes.py",
        "stop, save = (np.asarray(total) > 0).tolist()",
        "stop, save = (np.asarray(total) > 1).tolist()",
        ("test_votes.py",),
    ),
    Fault(
        "rows-of-an-embedding-lose-their-places",
        "engine/collectives/all_reduce.py",
        "context.all_gather(tensor.indices, axis=0),",
        "tf.tile(tensor.indices, [context.num_replicas_in_sync]),",
        _equals("sparse_gradients"),
    ),
    # ------------------------------------------------------------------ compat
    Fault(
        "weights-do-not-decay",
        "engine/compat/keras_private.py",
        "self._apply_weight_decay(trainable_variables)",
        "self._apply_weight_decay([])",
        ("test_optimizer_view.py::test_view_updates_as_the_optimizer_does",),
    ),
    Fault(
        "weights-are-averaged-an-update-late",
        "engine/compat/keras_private.py",
        "(self.iterations + 1) % every == 0,",
        "self.iterations % every == 0,",
        (
            "parity/test_one_replica.py::test_equals_plain_keras_bit_for_bit"
            "[combined_heads]",
        ),
    ),
    Fault(
        "a-second-update-of-a-step-is-lost",
        "engine/step/optimizer_view.py",
        "if recorder.gradients is not None:",
        "if recorder.gradients is None and recorder.variables:",
        ("parity/test_refusals.py",),
    ),
    # ------------------------------------------------- forms on several replicas
    Fault(
        "added-losses-are-those-of-another-replica",
        "engine/compat/keras_private.py",
        "class _ByThread(threading.local):",
        "class _ByThread:",
        _equals("add_loss_before_batch_statistics"),
    ),
    Fault(
        "only-one-device-has-what-all-trained-as-one",
        "engine/execution/as_one.py",
        "    if not _is_sum(variable):\n        for other in values[1:]:",
        "    if not _is_sum(variable):\n        for other in values[:0]:",
        ("test_as_one.py",),
    ),
    Fault(
        "a-slice-of-a-compiled-step-lies-elsewhere",
        "engine/execution/replica_loop.py",
        "where = tf.constant([self._batch_size, offset, count], tf.int64)",
        "where = tf.constant([self._batch_size, 0, count], tf.int64)",
        ("parity/test_forms.py",),
    ),
    Fault(
        "losses-are-built-for-a-list-of-one-output",
        "engine/compat/keras_private.py",
        "if isinstance(outputs, list | tuple) and len(outputs) == 1:",
        "if isinstance(outputs, list | tuple) and not outputs:",
        ("test_execution.py::test_a_list_of_one_output_is_that_output",),
    ),
    Fault(
        "a-constraint-within-the-update-is-left-out",
        "engine/step/adam.py",
        "            value = constrained(value)\n",
        "            pass\n",
        ("test_optimizer_view.py",),
    ),
    Fault(
        "noise-is-the-same-in-each-update",
        "engine/step/private/noise.py",
        "return word + tf.cast(tf.cast(update, tf.int64), tf.uint64)",
        "return word",
        ("test_private_gradients.py",),
    ),
    Fault(
        "private-gradients-are-not-clipped",
        "engine/step/private/method.py",
        "return clip / tf.maximum(norms, clip)",
        "return tf.ones_like(norms)",
        ("test_private_gradients.py",),
    ),
    Fault(
        "gradients-of-calls-have-norms-by-themselves",
        "engine/step/private/gradients.py",
        "if len(calls) == 1:",
        "if calls:",
        ("test_private_gradients.py",),
    ),
    Fault(
        "micro-batches-on-a-mesh-are-summed-and-not-averaged",
        "engine/mesh/step.py",
        "means = [of_optimizer[place] / every for place in sums]",
        "means = [of_optimizer[place] for place in sums]",
        ("mesh/test_mesh.py",),
    ),
    Fault(
        "operations-of-a-step-count-what-it-computes-again",
        "engine/mesh/program.py",
        "plain = Execution(step, step.train)",
        "plain = self",
        ("mesh/test_remat.py::test_a_block_of_ones_own_trains_the_same",),
    ),
    Fault(
        "operations-of-a-step-are-those-of-one-turn-of-every-loop",
        "engine/mesh/flops.py",
        'return equation.params["length"] * _of_body',
        "return _of_body",
        ("mesh/test_mesh_flops.py",),
    ),
    Fault(
        "what-is-computed-again-forgets-what-it-has-drawn",
        "engine/compat/keras_jax.py",
        "outer.state_mapping.update(zip(assigned, values, strict=True))",
        "outer.state_mapping.update({})",
        ("mesh/test_remat.py",),
    ),
    Fault(
        "what-an-optimizer-remembers-begins-as-zero-on-a-mesh",
        "engine/compat/keras_jax.py",
        "return initializer.value",
        "return 0.0",
        ("mesh/test_mesh.py::test_an_optimizer_begins_as_keras_makes_it",),
    ),
    Fault(
        "rows-of-a-process-are-put-where-they-stand-in-the-batch",
        "engine/mesh/rows.py",
        "place = own.index(first)",
        "place = first",
        ("mesh/test_mesh_processes.py",),
    ),
    Fault(
        "each-of-two-processes-of-a-mesh-keeps-its-own-first-weights",
        "engine/mesh/exchange.py",
        "if len(set(texts(digest.digest()))) > 1",
        "if len(set(texts(digest.digest()))) > 2",
        (
            "mesh/test_mesh_processes.py::"
            "test_two_processes_train_what_one_device_trains",
        ),
    ),
    Fault(
        "an-epoch-that-has-no-step-left-is-read",
        "engine/mesh/rows.py",
        "if not plan:",
        "if plan is None:",
        (
            "mesh/test_mesh_processes.py::"
            "test_two_processes_train_what_one_device_trains",
        ),
    ),
    Fault(
        "an-embedding-is-clipped-by-the-norm-of-its-rows",
        "engine/compat/keras_private.py",
        "tf.convert_to_tensor(g) if isinstance(g, tf.IndexedSlices) else g",
        "g",
        ("test_optimizer_view.py",),
    ),
    Fault(
        "an-iterator-goes-on-wherever-an-epoch-begins",
        "engine/data/one_iterator.py",
        "== self._place(reader, reader.first_batch)",
        "!= -1",
        ("test_orders_of_epochs.py::test_one_iterator_goes_on_through_all_epochs",),
    ),
)
