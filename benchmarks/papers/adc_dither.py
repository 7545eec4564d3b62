"""Intrinsic noise is dither: it lets a learner see through a coarse ADC.

Fashion-MNIST after 3 epochs on a crossbar whose only faults are its converters (8-bit DAC, ADC of b bits, its range
calibrated on the chip) and, or not, noise on the lines of 1 % of the ADC's full scale. DANP (Dalm et al. 2025, section
3.4: the difference of two noisy passes) and DNP; 784-256-256-256-10, leaky ReLU, cross-entropy, Adam, batch 1000, rate
3e-3. Without noise a perturbation must be injected: sigma = 1e-3 as on exact hardware, or what noisysim chooses (at
least half a step of the ADC).

Two test accuracies (%), after the last epoch: of the chip as it reads, noise, ADC and all; and of the weights it has
learned, read exactly (from the checkpoint in the result: no chip could). The reference, an independent NumPy
implementation, must mean the second: its 82.1 at 4 bits is learned here too, but 4 bits do not read it. Its ADC's full
scale is the largest activity; ours leaves a quarter to spare. Without an ADC ("none") the 8-bit DAC between the layers
still hides small perturbations.

Draws docs/images/adc_dither.png. Needs the Fashion-MNIST files. About 25 minutes; --quick takes two.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np
from report import RESULTS, Table, arguments

import noisysim

FIGURE = Path(__file__).parents[2] / "docs" / "images" / "adc_dither.png"
SETTINGS = {
    "task": "fashion-mnist:standardise=global",
    "layers": [256, 256, 256],
    "optimizer": "adam:epsilon=1e-7",
    "batch_size": 1000,
    "epochs": 3,
    "learning_rate": 3e-3,
}
PLAIN = {"dac_bits": 8, "read_noise": 0, "program_noise": 0, "levels": 0}
BITS = (3, 4, 5, 6, 8, 0)
# curve: (learner, line noise, injected sigma; 0 is chosen by noisysim, which for DANP in noise is nothing)
CURVES = {
    "DANP, 1 % noise": ("danp", 0.01, 0),
    "DANP, no noise, sigma chosen": ("danp", 0, 0),
    "DANP, no noise, sigma 1e-3": ("danp", 0, 1e-3),
    "DNP, 1 % noise, sigma chosen": ("dnp", 0.01, 0),
    "DNP, no noise, sigma chosen": ("dnp", 0, 0),
    "DNP, no noise, sigma 1e-3": ("dnp", 0, 1e-3),
}
AT_TWO = ("DANP, no noise, sigma chosen", "DNP, no noise, sigma chosen")  # not in the figure: 8 and 4 bits only
# (curve, bits): (reference, tolerance)
KNOWN = {
    ("DANP, 1 % noise", 8): (82.6, 1.0),
    ("DANP, 1 % noise", 4): (82.1, 1.5),
    ("DANP, no noise, sigma 1e-3", 8): (79.0, 2.0),
    ("DANP, no noise, sigma 1e-3", 4): (73.6, 3.0),
}


def crossbar(bits: int, noise: float) -> dict:
    """The crossbar of this study."""
    return {"name": "crossbar", **PLAIN, "adc_bits": bits, "line_noise": noise}


def learner(name: str, sigma: float, **settings) -> dict:
    """A rule; sigma 0 leaves the choice to noisysim."""
    return {"name": name, "sigma": sigma, **settings}


# Single runs: (device, learner, what else differs, reference, tolerance)
SINGLES = {
    "DANP, ideal device": ("ideal", learner("danp", 1e-3), {}, 82.5, 0.8),
    "DNP, ideal device": ("ideal", learner("dnp", 1e-3), {}, None, None),
    "DNP, 8 bits, no noise, sigma 0.1": (crossbar(8, 0), learner("dnp", 0.1), {}, 81.8, 1.5),
    "DNP, 8 bits, 1 % noise, sigma 1e-3": (crossbar(8, 0.01), learner("dnp", 1e-3), {}, 13, 1.0),  # 12 to 14
    "DANP, the default crossbar": ("crossbar", learner("danp", 0), {}, None, None),
    "DNP, the default crossbar": ("crossbar", learner("dnp", 0), {}, None, None),
    "ANP, ideal, batch 100, a loss a sample": (
        "ideal",
        learner("anp", 1e-3),
        {"batch_size": 100, "epochs": 1, "learning_rate": 3e-4},
        69.4,
        1.5,
    ),
    "ANP, ideal, batch 100, one loss a batch": (
        "ideal",
        learner("anp", 1e-3, loss="batch"),
        {"batch_size": 100, "epochs": 1, "learning_rate": 3e-4},
        23.3,
        6.0,
    ),
}


def learned(result: noisysim.Result) -> float:
    """Test accuracy (%) of what a chip has learned: its weights and decorrelation matrices, read exactly."""
    state = result.content["arrays"]["state/chip"]
    batch = noisysim.tasks.get(SETTINGS["task"]).batch("test", slice(None))
    sizes = [batch.inputs.shape[1], *SETTINGS["layers"], batch.targets.shape[1]]
    x, cells, turns = batch.inputs, 0, 0
    for layer, (n, m) in enumerate(itertools.pairwise(sizes)):
        if layer:
            x = np.where(x > 0, x, 0.01 * x)
        if state["rotations"].size:
            x = x @ state["rotations"][turns : turns + n * n].reshape(n, n).T
        x = x @ state["weights"][cells : cells + n * m].reshape(m, n).T
        cells, turns = cells + n * m, turns + n * n
    return 100 * float((x.argmax(1) == batch.targets.argmax(1)).mean())


def measure(table: Table, name: str, given, device, rule, differs, reference=None, tolerance=None, **more) -> None:
    """One row: means over the seeds, of what was learned."""
    started = time.perf_counter()
    if given.quick:
        differs, tolerance = {**differs, "epochs": 1}, None
    results = [
        noisysim.run(**{**SETTINGS, **differs}, device=device, learner=rule, seed=seed, progress=False)
        for seed in range(given.seeds)
    ]
    exact = np.array([learned(r) for r in results])
    curves = 100 * np.array([r.history["test_accuracy"] for r in results])
    read = curves[:, -1]
    table.row(
        name,
        exact.mean(),
        reference,
        tolerance,
        exact.std(ddof=1) if given.seeds > 1 else None,
        seconds=time.perf_counter() - started,
        note=f"read by the chip {read.mean():.2f}",
        read=round(float(read.mean()), 3),
        seeds=exact.round(2).tolist(),
        seeds_read=read.round(2).tolist(),
        epochs_read=curves.mean(0).round(2).tolist(),
        device=device,
        learner=rule,
        differs=differs,
        passed_share=round(float(results[0].history["passed_share"][-1]), 3),
        warnings=results[0].warnings,
        **more,
    )


def main() -> int:
    """Measure what is asked for, print it beside the reference, and keep it; 0 if everything judged passed."""
    given = arguments(__doc__, draw="only draw the figure, from the results kept")
    if given.draw:
        draw(json.loads((RESULTS / "adc_dither.json").read_text()))
        return 0
    keep = "" if given.quick else "adc_dither"
    value = "test accuracy, %, of the weights read exactly; read: by the chip"
    table = Table(keep, {**SETTINGS, "crossbar": PLAIN, "seeds": given.seeds, "value": value}, bool(given.only))
    for name, (device, rule, differs, reference, tolerance) in SINGLES.items():
        if given.only.lower() in name.lower():
            measure(table, name, given, device, rule, differs, reference, tolerance)
    for bits in (8, 4) if given.quick else BITS:
        for curve, (rule, noise, sigma) in CURVES.items():
            name = f"{curve.partition(',')[0]}, {f'{bits} bits' if bits else 'no ADC'},{curve.partition(',')[2]}"
            if given.only.lower() in name.lower() and (curve not in AT_TWO or bits in (8, 4)):
                known = KNOWN.get((curve, bits), (None, None))
                measure(
                    table, name, given, crossbar(bits, noise), learner(rule, sigma), {}, *known, curve=curve, bits=bits
                )
    if keep:
        noisy, others = (
            table.find("DANP, 8 bits, 1 % noise"),
            {
                "claim: DANP, 8 bits, 1 % noise, loses to ideal": ("DANP, ideal device", -1, 1.0, "<= 1"),
                "claim: ... and gains on no noise, sigma 1e-3": ("DANP, 8 bits, no noise, sigma 1e-3", 1, 0.0, "> 0"),
                "... and gains on no noise, sigma chosen": ("DANP, 8 bits, no noise, sigma chosen", 1, None, None),
            },
        )
        for name, (other, sign, bound, claim) in others.items():
            if noisy and (row := table.find(other)):
                change = sign * (noisy["ours"] - row["ours"])
                passed = None if claim is None else change <= bound if claim[0] == "<" else change > bound
                table.row(name, change, bound, claim, passed=passed)
        draw(table.content)
    return table.end()


def draw(content: dict, path: Path = FIGURE) -> None:
    """Accuracy against ADC bits: as the chip reads, and what it has learned."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    styles = {
        "DANP, 1 % noise": ("#0072B2", "-", "o", "DANP, 1 % noise on the lines, nothing injected"),
        "DANP, no noise, sigma 1e-3": ("#0072B2", "--", "o", "DANP, no noise, σ = 0.001 injected"),
        "DNP, 1 % noise, sigma chosen": ("#D55E00", "-", "s", "DNP, 1 % noise, σ chosen by noisysim"),
        "DNP, no noise, sigma 1e-3": ("#D55E00", "--", "s", "DNP, no noise, σ = 0.001 injected"),
    }
    ideal = next(r["ours"] for r in content["rows"] if r["name"] == "DANP, ideal device")
    plt.rcParams.update({"font.size": 15, "axes.spines.top": False, "axes.spines.right": False})
    figure, panels = plt.subplots(1, 2, figsize=(11, 6), dpi=140, sharey=True, layout="constrained")
    titles = {"ours": "Learned weights, read exactly", "read": "… read by the chip itself"}
    for axes, (key, title) in zip(panels, titles.items(), strict=True):
        axes.axhline(ideal, color="0.55", linewidth=1.5, linestyle=":", zorder=0)
        for curve, (colour, line, marker, label) in styles.items():
            rows = [r for r in content["rows"] if r.get("curve") == curve]
            axes.plot(
                [BITS.index(r["bits"]) for r in rows],
                [r[key] for r in rows],
                line,
                color=colour,
                marker=marker,
                label=label,
                markersize=9,
                linewidth=2.8,
                markerfacecolor=colour if line == "-" else "white",
                markeredgewidth=2.2,
            )
        axes.set_title(title, fontsize=16, loc="left")
        axes.set_xticks(range(len(BITS)), [f"{b}" if b else "none" for b in BITS])
        axes.set_xlabel("ADC bits (DAC: 8 bits)")
        axes.set_ylim(0, 90)
        axes.grid(axis="y", color="0.9", linewidth=1)
        axes.set_axisbelow(True)
    panels[0].set_ylabel("test accuracy (%)")
    panels[0].text(0, ideal + 1.2, "DANP on exact hardware", color="0.4", fontsize=13, va="bottom")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=14
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
