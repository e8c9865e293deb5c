"""P13: the same seed gives the same run, whatever else drew random numbers."""

from __future__ import annotations

import torch

from promises.cases import every_case


@every_case("P13")
def test_same_seed_same_run(case):
    runs = []
    for disturb in (False, True):
        torch.manual_seed(5)
        quantizer = case.build()
        for step in range(6):
            if disturb:
                torch.rand(7)  # someone else uses the global generator
            out = quantizer(case.x(step))
        runs.append((out.quantized, quantizer.state_dict()))
    assert torch.equal(runs[0][0], runs[1][0])
    for key, value in runs[0][1].items():
        assert torch.equal(value, runs[1][1][key]), key


@every_case("P13", one_in=2)
def test_threads_do_not_matter_to_the_codes(case):
    threads = torch.get_num_threads()
    try:
        states = []
        for count in (1, 2):
            torch.set_num_threads(count)
            states.append(case.trained(4).state_dict())
    finally:
        torch.set_num_threads(threads)
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], rtol=1e-5, atol=1e-6)
