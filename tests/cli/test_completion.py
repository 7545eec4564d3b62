"""Completion, as the shells themselves complete with the scripts that they are given."""

import os
import shutil
import subprocess

import cyclopts
import pytest

from noisysim import devices, learners, tasks
from noisysim.networks import layers

from command_line import command_line as command_line

COMMANDS = {
    "activations", "callbacks", "completion", "deploy", "devices", "diagnostics", "learners", "losses", "networks",
    "optimizers", "plot", "predict", "report", "reproduce", "resume", "retention", "run", "schedules", "show", "sweep",
    "tasks", "test", "tune", "weights",
}  # fmt: skip
BASH = """
source ./script
complete -p noisysim >&2
while IFS= read -r line; do
    read -ra COMP_WORDS <<< "$line"
    [[ $line == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    _noisysim
    printf '%s\\t' "${COMPREPLY[@]}"
    printf '\\n'
done < lines
"""
ZSH_SETUP = """
PROMPT= RPROMPT=
autoload -Uz compinit && compinit -u -D
HOW
compadd() {
    [[ " ${@[1,(i)(-|--)]} " == *' -'[OAD]' '* ]] && { builtin compadd "$@"; return }
    local -a hits
    builtin compadd -O hits "$@"
    print -rl -- $hits >> offers
    builtin compadd "$@"
}
mark() { print -- '==' >> offers; BUFFER= }
zle -N mark
bindkey '^I' complete-word '^X' mark
print -- ready >> offers
"""
"""A terminal in which what is offered is written to a file, a mark after each line."""
ZSH = """
zmodload zsh/zpty
zpty shell zsh -i
zpty -w shell 'source ./setup'
await() { repeat 600; do [[ -e offers && $(grep -c -- $1 offers) -ge $2 ]] && return; sleep 0.05; done; exit 1 }
await ready 1
number=0
while IFS= read -r line; do
    zpty -w -n shell $line$'\\t\\x18'
    await '^==' $((++number))
done < lines
zpty -d shell
sed 1d offers | tr '\\n' '\\t' | sed 's/==/\\n/g' | sed '$d'
"""
FISH = """
source ./script
while read -l line
    complete -C $line | string replace -r '\\t.*' '' | string join \\t
    test $pipestatus[1] -eq 0; or echo
end < lines
"""
LATER = {"noisysim devices ec": {"ecram", "ecram_mo"}, "noisysim devices crossbar pcm_h": {"pcm_hermes"}}
"""Names that go where a command goes as well, which Cyclopts completes since version 5.4."""
SAID = {
    "noisysim ": COMMANDS,
    "noisysim dev": {"devices"},
    "noisysim devices sho": {"show"},
    "noisysim devices show cro": {"crossbar"},
    "noisysim learners dan": {"danp"},
    "noisysim tasks mni": {"mnist"},
    "noisysim networks show resn": {"resnet-8", "resnet-20"},
    "noisysim run --layers resn": {"resnet-8", "resnet-20"},
    "noisysim run --device cro": {"crossbar"},
    "noisysim run --learner dan": {"danp"},
    "noisysim run dig": {"digits"},
    "noisysim run digits --optimizer ad": {"adam"},
    "noisysim show --js": {"--json"},
    "noisysim run --overw": {"--overwrite"},
    "noisysim completion z": {"zsh"},
    **(LATER if tuple(map(int, cyclopts.__version__.split(".")[:2])) >= (5, 4) else {}),
}
WHOLE = {
    "noisysim run --device ": set(devices.REGISTRY.known()),
    "noisysim run --learner ": set(learners.names()),
    "noisysim run --task ": set(tasks.names()),
    "noisysim networks show ": set(layers.names()),
}


def shell(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def completed(call, tmp_path, monkeypatch):
    """What a shell offers for lines that end where the cursor is, by line."""

    def complete(name, harness):
        code, out, err = call("completion", name)
        assert (code, err) == (0, "")
        (tmp_path / "script").write_text(out)
        lines = [*SAID, *WHOLE]
        (tmp_path / "lines").write_text("".join(f"{line}\n" for line in lines))
        done = subprocess.run([shell(name), *harness], capture_output=True, text=True, cwd=tmp_path, check=True,
                              env={**os.environ, "HOME": str(tmp_path)}, timeout=120)  # fmt: skip
        offers = [{word.strip() for word in line.split("\t") if word.strip()} for line in done.stdout.splitlines()]
        assert len(offers) == len(lines), done
        return dict(zip(lines, offers, strict=True)), done.stderr

    return complete


def test_bash_completes(completed):
    offers, registered = completed("bash", ["--norc", "-c", BASH])
    assert offers == {**SAID, **WHOLE}
    assert registered.split() == ["complete", "-o", "bashdefault", "-o", "default", "-F", "_noisysim", "noisysim"]


@pytest.mark.parametrize(
    "how", ["source ./script", "fpath=(. $fpath); autoload -Uz _noisysim; compdef _noisysim noisysim"]
)
def test_zsh_completes(completed, tmp_path, how):
    (tmp_path / "setup").write_text(ZSH_SETUP.replace("HOW", how))
    (tmp_path / "_noisysim").symlink_to("script")
    offers, _ = completed("zsh", ["-c", ZSH])
    for line, words in {**SAID, **WHOLE}.items():
        assert words <= offers[line], line


def test_fish_completes(completed):
    offers, _ = completed("fish", ["--no-config", "-c", FISH])
    for line, words in {**SAID, **WHOLE}.items():
        assert words <= offers[line], line


def test_a_script_is_read_by_its_shell_without_a_fault(call, tmp_path):
    for name, words in (("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])):
        if shutil.which(name):
            (tmp_path / name).write_text(call("completion", name)[1])
            done = subprocess.run([name, *words, tmp_path / name], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_script_has_every_name(call, name):
    script = call("completion", name)[1]
    for known in (devices.REGISTRY.known(), learners.names(), tasks.names(), layers.names()):
        assert all(one in script for one in known)


def test_printing_a_script_changes_no_command(call, tmp_path):
    """Names are declared to the shell alone: files, settings and lists are taken as before."""
    before = call("run", "--help"), call("devices", "--help")
    assert call("completion", "bash")[0] == 0
    assert (call("run", "--help"), call("devices", "--help")) == before
    words = ["student-teacher:n_in=6,n_train=40,n_test=10", "--layers", "5", "4", "--epochs", "1", "--batch-size", "8"]
    code, out, _ = call("run", *words, "--device", "crossbar:adc_bits=6", "--diagnostics", "angle", "bias:samples=3")
    assert (code, "6-5-4-10" in out) == (0, True)


def test_another_shell_is_refused(call):
    code, out, err = call("completion", "tcsh")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
