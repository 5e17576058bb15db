"""Run as a process: what TensorFlow sees of this machine, and how fast that is."""

from kerascale.diagnostics.doctor.processes import tell


def main() -> None:
    import keras
    import tensorflow as tf

    tell("imported", {"tensorflow": tf.__version__, "keras": keras.__version__})
    tell("backend", keras.config.backend())
    tell("built_with_cuda", tf.test.is_built_with_cuda())
    devices = []
    for device in tf.config.list_physical_devices():
        details = tf.config.experimental.get_device_details(device)
        name = details.get("device_name", "")
        devices.append({"type": device.device_type, "name": name})
    tell("devices", devices)
    from kerascale.training.throughput import peak

    tell("peak", peak.of_this_machine(again=True))


if __name__ == "__main__":
    main()
