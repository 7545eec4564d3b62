"""`noisysim reproduce`: the reproductions there are, what a report keeps, and how a run of several ends."""

import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import noisysim
from noisysim import cli, papers

Report, panels = papers.Report, papers.report.panels
conv_crossbar, dalm2025_fig9 = papers.get("conv-crossbar"), papers.get("dalm2025-fig9")
bacho2024_table2, lansdell2020_fig3 = papers.get("bacho2024-table2"), papers.get("lansdell2020-fig3")
cifar = dalm2025_fig9.cifar
SMALL = {"task": "student-teacher:n_in=6,n_train=40,n_test=10", "layers": [5], "batch_size": 8, "epochs": 2}


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """The command line in this process, in an empty folder: its exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["noisysim", *map(str, words)])
        code, said = 0, ""
        try:
            cli.main()
        except SystemExit as leaving:
            code = leaving.code or 0
            if isinstance(code, str):  # the interpreter prints it and exits with 1
                code, said = 1, code + "\n"
        out, err = capsys.readouterr()
        return code, out, err + said

    return run


@pytest.fixture
def invent(monkeypatch):
    """Put made-up reproductions in the place of the real ones: (name, function of a report), ..."""

    def put(**functions):
        modules = {}
        for name, function in functions.items():
            modules[name] = types.ModuleType(name, f"{name}, made up.\n\nMore.")
            modules[name].SECONDS = (7200, 3)
            modules[name].reproduce = function
        monkeypatch.setattr(papers, "_FOUND", list(modules))
        monkeypatch.setattr(papers, "_module", modules.__getitem__)

    return put


def good(report):
    report.keep(width=np.int64(7))
    report.say("what was run")
    report.row("near", 1.05, 1.0, 0.1, seconds=2, note="not kept", extra=np.arange(2))
    report.row("far, but not judged", 5.0, 1.0)
    report.figure("curve", panels(["one", "two"])[0])


def outside(report):
    report.row("far", [1.0, 5.0], [1.0, 1.0], 0.1)


def broken(report):
    report.row("before", 1.0)
    raise ValueError("too\nbad")


def without_data(report):
    raise FileNotFoundError("task 'cifar10': no files in any of\n  /one\n  /two\nPut them there.")


def kept(path):
    return json.loads(Path(path).read_text())


# --- the reproductions ----------------------------------------------------------------------------------------------


def test_every_reproduction_has_title_lengths_and_function():
    assert {"adc-dither", "dalm2025-fig2", "dalm2025-table3", "reference-fashion"} <= set(papers.names())
    assert {"bacho2024-table2", "conv-crossbar", "dalm2025-fig9", "lansdell2020-fig3"} <= set(papers.names())
    for name in papers.names():
        module = papers.get(name)
        assert module.__name__ == f"noisysim.papers.{name.replace('-', '_')}"
        assert papers.title(module).endswith(".")
        assert len(papers.title(module)) > 20
        full, quick = module.SECONDS
        assert full >= quick > 0
        assert callable(module.reproduce)


def test_modules_that_help_are_not_listed():
    assert {"report", "summary", "cifar"} <= set(papers._FOUND)
    assert not {"report", "summary", "cifar"} & set(papers.names())


def test_the_source_folder_is_not_a_second_copy(monkeypatch):
    root = Path(noisysim.__file__).parents[1]
    if not (root / "benchmarks" / "papers").is_dir():
        pytest.skip("not in a checkout")
    monkeypatch.syspath_prepend(root)
    with pytest.raises(ImportError, match=r"import noisysim\.papers"):
        __import__("benchmarks.papers")


def test_the_list_names_each_with_title_and_lengths(call, invent):
    code, out, err = call("reproduce")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines() if not line.startswith(" ")] == ["name", *papers.names()]
    invent(one=good)
    assert call("reproduce")[1].splitlines()[1].split() == ["one", "one,", "made", "up.", "2", "h", "3", "s"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("dalm2025-fig22", "unknown reproduction 'dalm2025-fig22'; did you mean 'dalm2025-fig2'?"),
        ("dalm2025_fig2", "unknown reproduction 'dalm2025_fig2'; did you mean 'dalm2025-fig2'?"),
        ("report", "unknown reproduction 'report'"),
        ("dalm2025-fig2 --seeds 0", "--seeds must be a whole number from 1"),
        ("dalm2025-fig2 --only NP ANQ", "dalm2025-fig2 has no row 'ANQ'. Its rows: networks; NP; ANP; INP; "),
        ("dalm2025-fig2 --fast", "--fast"),
    ],
)
def test_a_bad_request_is_one_line_and_no_work(call, words, said):
    code, out, err = call("reproduce", *words.split())
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert os.listdir() == []


# --- a run of some --------------------------------------------------------------------------------------------------


def test_a_reproduction_leaves_table_figure_and_summary(call, invent):
    invent(one_two=good)
    code, out, err = call("reproduce", "one-two")
    assert (code, err) == (0, "")
    assert sorted(os.listdir("reproduced")) == ["one-two-curve.png", "one-two.json", "summary.md"]
    content = kept("reproduced/one-two.json")
    assert content["title"] == "one_two, made up."
    assert (content["status"], content["error"], content["seeds"], content["quick"]) == ("finished", "", 3, False)
    assert (content["settings"], content["said"]) == ({"width": 7}, ["what was run"])
    assert {"date", "noisysim", "numpy", "python", "cpu", "seconds"} <= set(content["where"])
    near, far = content["rows"]
    assert near == {"name": "near", "published": 1.0, "tolerance": 0.1, "ours": 1.05, "passed": True, "seconds": 2,
                    "extra": [0, 1]}  # fmt: skip
    assert far["passed"] is None
    assert Path("reproduced/one-two-curve.png").read_bytes().startswith(b"\x89PNG")
    text = Path("reproduced/summary.md").read_text()
    for said in ("one-two", "what was run", "| near ", "1.05", "| ok ", noisysim.__version__, "1 of 1"):
        assert said in text
        assert said in out or said not in ("1.05", "what was run", "1 of 1")
    assert "reproduced/one-two-curve.png" in out


def test_the_exit_status_says_that_something_is_outside(call, invent):
    invent(one=good, two=outside)
    assert call("reproduce", "one")[0] == 0
    code, out, _ = call("reproduce", "two", "one", "--out", "here")
    assert code == 1
    assert "OUT" in out
    assert kept("here/two.json")["rows"][0]["passed"] is False
    table = Path("here/summary.md").read_text().splitlines()
    assert [line.split("|")[2:4] + line.split("|")[5:6] for line in table if line.startswith("| two ")] == [
        [" finished ", " 0 of 1           ", " far     "]
    ]


def test_one_that_fails_is_reported_and_the_others_go_on(call, invent):
    invent(first=broken, second=good)
    code, out, err = call("reproduce", "--all")
    assert code == 1
    assert "first failed: ValueError: too bad" in out
    assert "Traceback" in err
    assert [kept(f"reproduced/{n}.json")["status"] for n in ("first", "second")] == ["failed", "finished"]
    assert [row["name"] for row in kept("reproduced/first.json")["rows"]] == ["before"]
    assert "Failed: ValueError: too bad" in Path("reproduced/summary.md").read_text()


def test_missing_data_are_one_line(call, invent):
    invent(one=without_data)
    code, out, err = call("reproduce", "one")
    assert (code, err) == (1, "")
    said = next(line for line in out.splitlines() if "failed" in line)
    assert said == "one failed: task 'cifar10': no files; name the folder that has them by NOISYSIM_DATA"


def test_ctrl_c_keeps_what_was_done(call, invent):
    def interrupted(report):
        report.row("before", 1.0)
        raise KeyboardInterrupt

    invent(first=interrupted, second=good)
    assert call("reproduce", "first", "second")[0] == 130
    assert sorted(os.listdir("reproduced")) == ["first.json", "summary.md"]
    assert kept("reproduced/first.json")["status"] == "interrupted"


def test_seeds_form_and_backend_reach_the_reproduction(call, invent):
    seen = []
    invent(one=lambda report: seen.append((report.quick, report.seeds, report.backend)))
    for words in ("", "--quick", "--seeds 2", "--quick --seeds 4 --backend auto"):
        assert call("reproduce", "one", *words.split())[0] == 0
    assert seen == [(False, 3, "cpu"), (True, 1, "cpu"), (False, 2, "cpu"), (True, 4, "cpu")]


def test_a_quick_form_never_replaces_a_full_one(call, invent):
    invent(one=good)
    call("reproduce", "one")
    before = Path("reproduced/one.json").read_bytes()
    call("reproduce", "one", "--quick")
    assert Path("reproduced/one.json").read_bytes() == before
    assert {"one-quick.json", "one-quick-curve.png"} <= set(os.listdir("reproduced"))
    assert "one (quick)" in Path("reproduced/summary.md").read_text()


def test_the_summary_is_of_reproductions_alone(call, invent):
    invent(one=good)
    Path("package.json").write_text("[")
    assert call("reproduce", "one", "--out", ".")[0] == 0
    assert "package" not in Path("summary.md").read_text()


# --- the report -----------------------------------------------------------------------------------------------------


@pytest.fixture
def report(tmp_path):
    return Report("some-figure", tmp_path)


def test_a_row_is_judged_by_tolerance_or_verdict_alone(report):
    rows = [
        ((1.0, 1.2, 0.3), {}, True),
        ((1.0, 1.2, 0.1), {}, False),
        (([1, 2], [1, 3], 1), {}, True),
        (([1, 2], [1, 4], 1), {}, False),
        ((1.0, 1.2), {}, None),
        ((1.0, None, 0.1), {}, None),
        ((1.0, 1.2, "<= 3"), {"passed": np.True_}, True),
        ((1.0, 1.0, 9), {"passed": False}, False),
        ((np.nan, 1.0, 9), {}, False),
    ]
    for number, (given, more, verdict) in enumerate(rows):
        report.row(str(number), *given, **more)
        assert report.find(str(number))["passed"] is verdict
    with pytest.raises(papers.parts.NotMeasuredError):
        report.find("nothing")
    report.end("finished")
    assert not report.passed


@pytest.mark.parametrize(
    ("ours", "bound", "verdict"),
    [(1, "<= 1", True), (1.1, "<= 1", False), (3, ">= 3", True), (0, "> 0", False), (-1, "< 0", True)],
)
def test_a_claim_is_judged_by_its_bound(report, ours, bound, verdict):
    report.claim("it", ours, bound, published=7)
    row = report.find("claim: it")
    assert (row["passed"], row["tolerance"], row["published"]) == (verdict, bound, 7)


def test_the_table_is_json_whatever_is_put_in_it(report):
    report.row("it", np.array([np.nan, 1]), (np.inf, 1), spread=np.float32(0.5), more={1: np.float64("nan")})
    row = kept(report.out / "some-figure.json")["rows"][0]
    assert (row["ours"], row["published"], row["more"], row["spread"]) == ([None, 1], [None, 1], {"1": None}, 0.5)
    assert papers.report.plain(np.float32(2)) == 2
    assert papers.summary.section(report.content)


def test_a_figure_is_called_by_reproduction_and_name(report):
    figure, axes = panels(["one"])
    assert len(axes) == 1
    assert [report.figure(name, figure).name for name in ("curve", "some-figure", "some-figure-two")] == [
        "some-figure-curve.png", "some-figure.png", "some-figure-two.png"
    ]  # fmt: skip
    assert len(report.content["figures"]) == 3


def test_runs_are_one_a_seed(tmp_path):
    report = Report("it", tmp_path, quick=True, seeds=2)
    results = report.runs(**SMALL, device="ideal", learner="np")
    assert [result.config["seed"] for result in results] == [0, 1]
    assert len(report.runs(seeds=1, **SMALL)) == 1


def test_histories_of_runs_that_diverged_are_filled_up():
    def run(history, status):
        content = {"status": status}
        return types.SimpleNamespace(config={"epochs": 3}, history={"x": np.array(history)}, content=content)

    complete, lost = run([0.5, 0.25, 0.125], "finished"), run([0.5], "diverged")
    found = papers.report.histories([complete, lost], "x", lost=0)
    np.testing.assert_array_equal(found, [[0.5, 0.25, 0.125], [0.5, 0, 0]])
    found = papers.report.histories([run([0.5, 0.25], "stopped")], "x", lost=0)
    np.testing.assert_array_equal(found, [[0.5, 0.25]])


def test_a_rate_at_which_sgd_diverges_is_a_result_of_hiratani(report):
    """Updates become non-finite between two looks at the error."""
    task = noisysim.tasks.get("student-teacher:n_in=6,n_train=200,n_test=20")
    course = papers.hiratani2022.learn(report, task, [5], "bp", 1e8, seed=0, most=40)
    assert course.lost
    assert course.last == course.rise == course.error[-1] == np.inf
    assert course.lowest == 0
    assert 1 <= course.updates[-1] < 20
    assert np.isfinite(course.input_norm).all()


# --- a real one -----------------------------------------------------------------------------------------------------


def test_the_quick_form_of_the_angles_is_within_its_tolerances(call):
    code, out, _ = call("reproduce", "dalm2025-fig2", "--quick")
    assert code == 0
    assert "9 of 9" in out
    assert "dalm2025-fig2-quick-angles.png" in os.listdir("reproduced")


def test_a_convolutional_network_learns_on_the_crossbar(call, monkeypatch):
    """The quick form of `conv-crossbar`, on smaller images that are always at hand."""
    layers = ["conv(8, 3)", "conv(8, 3, stride=2)", 32]
    small = conv_crossbar.Form("digits", layers, 50, 8, 3e-3, (8, 4), (42, 362), 40)
    monkeypatch.setattr(conv_crossbar, "QUICK", small)
    call("reproduce", "conv-crossbar", "--quick")
    content = kept("reproduced/conv-crossbar-quick.json")
    assert (content["status"], content["figures"]) == ("finished", ["conv-crossbar-quick-accuracy.png"])
    rows = {row["name"]: row for row in content["rows"]}
    names = ["BP, ideal device", "DANP, ideal device", "DANP, crossbar, 8 bits", "DANP, crossbar, 4 bits"]
    assert [rows[name]["injected"] for name in names] == [0, 1e-3, 0, 0]
    assert rows["BP, ideal device"]["exact"] == pytest.approx(rows["BP, ideal device"]["ours"], abs=0.3)
    for name in ("BP, crossbar, 8 bits", "DANP, crossbar, 8 bits", "DANP, crossbar, 4 bits"):
        assert rows[f"{name}: products/conversions"]["ours"] == [42, 362]
    assert rows["claim: DANP learns on the crossbar, 8 bits"]["passed"]
    assert rows["claim: DANP, crossbar, 8 bits, loses to ideal"]["tolerance"] == "<= 3"
    assert rows["DANP, crossbar, 4 bits, loses to ideal"]["passed"] is None


def test_figure_9_of_dalm_runs_all_networks_and_rules(call, monkeypatch):
    """Its quick form in small: every row beside what was published, all claims, the figure."""
    if not Path(os.environ.get("NOISYSIM_DATA", "none"), "cifar10").is_dir():
        pytest.skip("NOISYSIM_DATA names no folder with cifar10/")
    monkeypatch.setattr(cifar, "TEST_IMAGES", 200)
    monkeypatch.setattr(dalm2025_fig9, "DEEP", cifar.Form(8, 1000, 16, 500, 1))
    monkeypatch.setattr(dalm2025_fig9, "CONVNET", cifar.Form(16, 500, 16, 100, 1, faster=10))
    call("reproduce", "dalm2025-fig9", "--quick")
    content = kept("reproduced/dalm2025-fig9-quick.json")
    assert (content["status"], content["figures"]) == ("finished", ["dalm2025-fig9-quick-accuracy.png"])
    rows = [row for row in content["rows"] if not row["name"].startswith("claim")]
    assert len(rows) == 2 * (3 * 3 + 8)
    assert all(row["published"] and row["passed"] is None and row["ours"] > 0 for row in rows)
    known = {row["name"]: (row["published"], row["learning_rate"]) for row in rows}
    assert known["9 hidden layers, DINP, training"] == (52.0, 5e-3)
    assert known["ConvNet, DANP, test"] == (52.6, 1e-3)
    assert known["ConvNet, BP, test"] == (62.1, 1e-3)
    assert "claim: DINP's lead over DNP grows with depth, test" in {row["name"] for row in content["rows"]}
    assert any("NP 0.001, DNP 0.001" in said for said in content["said"])


def test_networks_of_dalm_are_named_and_shortened_by_their_dense_layers():
    assert set(cifar.PEAKS) == set(cifar.RATES) == set(cifar.NETWORKS) <= set(noisysim.layers.NAMED)
    assert all(set(cifar.PEAKS[one]) == set(cifar.RATES[one]) for one in cifar.NETWORKS)
    assert cifar.FULL.layers("dalm-convnet") == "dalm-convnet"
    assert cifar.FULL.rate("dalm-convnet", "dnp") == 1e-4
    assert noisysim.layers.plain(cifar.SHORT.layers("dalm-convnet")) == [
        *noisysim.layers.plain(noisysim.layers.hidden("dalm-convnet"))[:3], "dense(256, activation='leaky_relu')"
    ]  # fmt: skip


# of table 2 the full form and of figure 3 the quick one: that there are two forms is the same code
@pytest.mark.parametrize("form", [pytest.param("QUICK", marks=pytest.mark.thorough), "FULL"])
def test_table_2_of_bacho_runs_both_networks_by_their_rules(call, monkeypatch, form):
    """Either form on a few images of noise: every row beside what was published, the claims of the quick one."""
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(n, 1, 16, 16)) for n in (64, 32)]
    task = noisysim.tasks.get((images[0], np.arange(64) % 10, images[1], np.arange(32) % 10))
    monkeypatch.setattr(bacho2024_table2, "images", lambda name, form: task)
    monkeypatch.setattr(bacho2024_table2, form, getattr(bacho2024_table2, form)._replace(epochs=1))
    call("reproduce", "bacho2024-table2", *(["--quick"] if form == "QUICK" else ["--seeds", "1"]))
    stem = "bacho2024-table2" + ("-quick" if form == "QUICK" else "")
    content = kept(f"reproduced/{stem}.json")
    assert (content["status"], content["figures"]) == ("finished", [f"{stem}-accuracy.png"])
    rows = {row["name"]: row for row in content["rows"] if not row["name"].startswith("claim")}
    assert len(rows) == (7 + 4 if form == "QUICK" else 3 * (7 + 1 + 4))
    known = {"FG-W": (74.93, 0.55), "FDFA": (91.54, 0.11)}
    known["DKP" + (", batch norm" if form == "QUICK" else ", as in the code")] = (90.39, 0.25)
    for name, values in known.items():
        row = rows[f"fashion-mnist, {name}"]
        assert (row["published"], row["published_sd"]) == values
        assert (row["tolerance"] is None) == (form == "QUICK")
    claims = {row["name"]: row["tolerance"] for row in content["rows"] if row["name"].startswith("claim")}
    assert len(claims) == (6 + 3 if form == "QUICK" else 0)
    if claims:
        assert claims["claim: FDFA above FG-A"] == ">= 4.4"
        assert claims["claim: batch norm, FDFA above DFA"] == ">= 0.9"


@pytest.mark.parametrize("form", ["QUICK", pytest.param("FULL", marks=pytest.mark.thorough)])
def test_figure_3_of_lansdell_compares_losses_planes_and_pictures(call, monkeypatch, form):
    """Either form, shorter, on smaller images that are always at hand."""
    given = getattr(lansdell2020_fig3, form)
    monkeypatch.setattr(lansdell2020_fig3, form, given._replace(task="autoencoding:of=digits", updates=40, searched=20))
    call("reproduce", "lansdell2020-fig3", *(["--quick"] if form == "QUICK" else ["--seeds", "2"]))
    stem = "lansdell2020-fig3" + ("-quick" if form == "QUICK" else "")
    content = kept(f"reproduced/{stem}.json")
    assert (content["status"], content["figures"]) == ("finished", [f"{stem}-autoencoder.png"])
    rows = {row["name"]: row for row in content["rows"]}
    assert 10 < rows["untrained: labels"]["ours"] < 90
    for name, method in given.methods.items():
        assert rows[f"{name}: test loss"]["published"] == pytest.approx(method.published / 32, abs=0.005)
        assert len(rows[f"{name}: test loss"]["course"]) == 20
        searched = [row for row in content["rows"] if row["name"].startswith(f"{name}, searching")]
        assert len(searched) == (len(method.rates) if form == "FULL" else 0)
        if searched:
            best = min(searched, key=lambda row: row["ours"])["name"]
            chosen = "/".join(f"{rate:g}" for rate in rows[f"{name}: test loss"]["rates"])
            assert f" {chosen}:" in best
    assert sum(name.startswith("claim") for name in rows) == (5 if form == "QUICK" else 7)
    assert rows["claim: NP's loss below FA's"]["published"] == 7.62


def test_neighbours_in_a_plane_name_what_is_apart():
    labels = noisysim.tasks.base.Labels(np.repeat([0, 1], 20), np.array([0, 1]))
    apart = np.repeat([[0.0, 0.0], [9.0, 9.0]], 20, axis=0)
    asked = np.array([[1.0, 0.0], [8.0, 9.0]])
    assert lansdell2020_fig3.neighbours(apart, asked, labels) == 100
    assert lansdell2020_fig3.neighbours(apart, asked[::-1], labels) == 0
    assert lansdell2020_fig3.neighbours(apart * np.nan, asked, labels) == 0


# --- second implementations -----------------------------------------------------------------------------------------


def test_simulated_networks_follow_the_mean_field_theory_at_first_and_are_slower_late():
    """As `noisysim.theory` says of narrow networks."""
    found = papers.get("theory-range")
    student = noisysim.theory.LinearStudent(10, 10, 3)
    rate = 0.5 * student.critical_rate()
    course = student.four_variables(rate, 2000, 2000)
    fallen = np.log10(course.error[0] / course.error)
    looks = [int(np.interp(decades, fallen, course.steps)) for decades in (0, 0.3, 2)]
    errors = found.simulate((10, 10, 3), rate, looks, 300, 0).mean(axis=1)
    ratios = errors / np.interp(looks, course.steps, course.error)
    np.testing.assert_allclose(ratios[:2], 1, atol=0.12)
    assert ratios[2] > 1.5


@pytest.mark.thorough  # what is compared changes with neither, unless one is edited
def test_the_cosine_of_equation_6_is_the_same_in_plain_numpy(report):
    """Of the first layer at two widths, within a tenth: other networks, and other noise."""
    equation_6 = papers.get("hiratani2022-eq6")
    for width in (32, 64):
        cosine, _ = equation_6.cosines(Report("it", report.out, quick=True, seeds=1), width)
        plain = np.mean([equation_6.plain(width, seed) for seed in range(4)], axis=0)
        np.testing.assert_allclose(plain, cosine[:2], rtol=0.1)


@pytest.mark.thorough  # NumPy's alone
def test_feedback_alignment_in_plain_numpy_learns():
    try:
        accuracy = papers.get("reference-feedback").plain(0, 1)
    except FileNotFoundError as error:
        pytest.skip(str(error).partition("\n")[0])
    assert 65 < accuracy < 82
