

def test_trains_of_pulses_do_not_take_groups():
    x, y = np.random.default_rng(0).random((20, 1, 4, 4)), np.arange(20) % 2
    with pytest.raises(ValueError, match="groups of channels"):
        noisysim.run(
            (x, y, x, y), layers=["conv(4, 1)", "depthwise(3)"], device="rpu:update=pulse_trains", learner="danp",
            optimizer="sgd", epochs=1,
        )  # fmt: skip
