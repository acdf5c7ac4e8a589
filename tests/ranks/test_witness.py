"""The witness, with sockets that play the ranks."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from minigpt.ranks import witness


class Player:
    """A rank's end of a line."""

    def __init__(self, port, number, pid=2**22 + 1, host="elsewhere", secret="open sesame"):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(20)
        self.lines = self.socket.makefile("rb")
        if number is not None:
            self.say(hello=number, pid=pid, host=host, secret=secret)

    def say(self, **message):
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def hear(self):
        while "beat" in (message := json.loads(self.lines.readline())):
            continue
        return message

    def leave(self):
        self.say(bye=0)
        self.socket.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def run():
    """start(size) -> (port, the witness's process, its lines of standard error)."""
    processes = []

    def start(size, **environment):
        with socket.create_server(("127.0.0.1", 0)) as server:
            command = [sys.executable, "-m", "minigpt.ranks.witness", str(server.fileno()), str(size)]
            pipe = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            pipe["env"] = os.environ | environment
            processes.append(subprocess.Popen(command, pass_fds=[server.fileno()], **pipe))
            processes[-1].stdin.write("open sesame\n")
            processes[-1].stdin.flush()
            return server.getsockname()[1], processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_values_are_told_in_the_order_of_ranks_and_all_take_leave(run):
    port, process = run(3)
    players = [Player(port, number) for number in (2, 0, 1)]
    for turn in (1, 2):
        for player, value in zip(players, ("c", "a", "b"), strict=True):
            player.say(gather=turn, value=value * turn)
        for player in players:
            assert player.hear() == {"gathered": turn, "values": ["a" * turn, "b" * turn, "c" * turn]}
    for player in players:
        player.leave()
    assert process.wait(20) == 0
    assert process.stderr.read() == ""


def test_a_line_that_closes_without_a_word_ends_the_others(run):
    port, process = run(2)
    one, other = Player(port, 0), Player(port, 1, pid=77)
    other.say(at="in the all-reduce of step 12")
    other.say(gather=1, value=0)  # so that it has been heard for sure
    one.say(gather=1, value=0)
    assert other.hear()["gathered"] == 1
    other.socket.shutdown(socket.SHUT_RDWR)
    told = one.hear()
    while "ended" not in told:
        told = one.hear()
    expected = "rank 1 (process 77 on elsewhere) was killed or has crashed, in the all-reduce of step 12"
    assert told == {"ended": expected, "kill": [], "code": 1}
    one.socket.shutdown(socket.SHUT_RDWR)
    assert process.wait(20) == 1
    assert process.stderr.read() == f"minigpt: {expected}; every rank ends now, the same command resumes\n"


def test_a_rank_that_fails_says_why(run):
    port, process = run(2)
    one, other = Player(port, 0), Player(port, 1)
    one.say(beat=0)
    other.say(failed="OSError: no space left", code=75)
    told = one.hear()
    assert "rank 1 (process 4194305 on elsewhere): OSError: no space left" in told["ended"]
    assert told["code"] == 75
    one.socket.close()
    one.lines.close()
    assert process.wait(20) == 1


def test_a_frozen_rank_of_this_machine_is_ended_with_the_others(run):
    port, process = run(2)
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        frozen = Player(port, 1, pid=sleeper.pid, host=socket.gethostname())  # who says no more
        one = Player(port, 0, host=socket.gethostname())
        until = time.monotonic() + witness.PATIENCE + 10
        one.socket.settimeout(0.5)
        told = b""
        while b"ended" not in told and time.monotonic() < until:
            one.say(beat=0)
            try:
                told += one.socket.recv(1 << 16)
            except TimeoutError:
                continue
        assert f"rank 1 (process {sleeper.pid} on" in told.decode()
        assert "is frozen" in told.decode()
        assert json.loads(told.splitlines()[-1])["kill"] == [sleeper.pid], (
            "the other rank of that machine may end it"
        )
        one.socket.shutdown(socket.SHUT_RDWR)
        assert process.wait(20) == 1
        assert sleeper.wait(5) == -signal.SIGKILL
        frozen.socket.close()


def test_only_who_knows_the_secret_is_a_rank_and_once(run):
    port, process = run(2)
    for hello in (
        {"secret": "guess"},
        {"number": 2},
        {"number": "0"},
        {"number": True},
        {"pid": 1},
        {"pid": None},
    ):
        stranger = Player(port, **{"number": 0, **hello})
        assert stranger.lines.readline() == b"", hello
    players = Player(port, 0), Player(port, 1)
    players[0].say(gather=1, value=1)
    again = Player(port, 0)
    assert again.lines.readline() == b""
    players[1].say(gather=1, value=2)
    assert players[0].hear()["values"] == [1, 2]
    for player in players:
        player.leave()
    assert process.wait(20) == 0


def test_who_has_not_come_to_an_exchange_is_named(run):
    port, _ = run(3)
    one, *others = (Player(port, number) for number in range(3))
    for player, at in zip(others, ("in the all-reduce of step 3", "computing step 3"), strict=True):
        player.say(at=at)
        player.say(gather=1, value=0)
    one.say(at="in the all-reduce of step 3")
    one.say(gather=1, value=0)
    one.hear()
    one.say(failed="not every rank has come", code=-1)
    for player in others:
        player.hear()
    told = others[0].hear()
    assert told["ended"].endswith("come; elsewhere: rank 2 (process 4194305 on elsewhere), computing step 3")
    assert told["code"] == 1


def test_a_rank_that_takes_leave_and_does_not_go_is_frozen(run):
    port, process = run(1)
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        player = Player(port, 0, pid=sleeper.pid, host=socket.gethostname())
        player.say(bye=0)
        assert player.hear()["kill"] == [sleeper.pid]
        player.socket.shutdown(socket.SHUT_RDWR)
        assert process.wait(20) == 1
        assert sleeper.wait(20) == -signal.SIGKILL


def test_strangers_are_not_ranks(run):
    port, process = run(1)
    for words in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\n",
        b"{}\n",
        b"[]\n",
        b"3\n",
        b'{"gather": 1}\n',
        b"[" * 10**5 + b"\n",
    ):
        stranger = Player(port, None)
        stranger.socket.sendall(words)
        stranger.socket.close()
    player = Player(port, 0)
    player.say(gather=1, value=1)
    assert player.hear()["values"] == [1]
    player.leave()
    assert process.wait(20) == 0


def test_who_dies_before_all_have_come_is_named_with_those_who_have_not(run):
    port, process = run(3)
    Player(port, 1).socket.shutdown(socket.SHUT_RDWR)
    assert process.wait(20) == 1
    said = process.stderr.read()
    assert "rank 1" in said
    assert "rank 0, not yet here," in said
    assert "rank 2, not yet here," in said


def test_who_does_not_come_is_named(run):
    port, process = run(3, MINIGPT_GATHERING="2")
    player = Player(port, 1)
    assert player.hear()["ended"] == "of 3 ranks these have not come within 2 s: [0, 2]"
    player.socket.shutdown(socket.SHUT_RDWR)
    assert process.wait(20) == 1


def test_a_starter_of_another_machine_is_not_looked_for_on_this_one(run):
    for starter in ("elsewhere 4194305", f"{socket.gethostname()} x", ""):
        port, process = run(1, MINIGPT_STARTER=starter)
        player = Player(port, 0)
        player.say(gather=1, value=1)
        assert player.hear()["values"] == [1], starter
        player.leave()
        assert process.wait(20) == 0
    _, process = run(1, MINIGPT_STARTER=f"{socket.gethostname()} 4194305")  # no such process
    assert process.wait(20) == 1
    assert "(process 4194305), which started the ranks, was killed" in process.stderr.read()


def test_of_lines_that_closed_between_two_looks_the_first_is_named(run):
    """A launcher ends the other ranks while the witness has no core to run on."""
    port, process = run(3)
    players = [Player(port, number) for number in range(3)]
    for player in players:
        player.say(gather=1, value=0)
    for player in players:
        player.hear()
    process.send_signal(signal.SIGSTOP)
    for player in (players[1], players[0], players[2]):
        player.socket.shutdown(socket.SHUT_RDWR)
        time.sleep(0.03)
    process.send_signal(signal.SIGCONT)
    assert process.wait(20) == 1
    said = process.stderr.read()
    assert "rank 1 (process" in said
    assert " or " not in said.replace("killed or has", "")
