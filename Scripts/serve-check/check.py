#!/usr/bin/env python3
"""Tries `qwen-sft serve` with the official openai client, many clients at once, and thousands of malformed requests.

  python check.py PROGRAM [--seconds 120] [--clients 32] [--malformed 5000]

Needs: pip install openai. It trains two adapters of the demo model and a model that calls a tool first, starts the server on a port of its own, and prints what it measured; a failed check ends it with exit code 1.
"""

import argparse
import atexit
import concurrent.futures
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import openai

TOOL = {"type": "function", "function": {
    "name": "get_weather", "description": "Weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}

# Tools and calls as Qwen's templates write them, without the long instructions, of which the demo model knows no word.
TEMPLATE = """{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool.function.name }} {% endfor %}<|im_end|>
{% endif %}{%- for message in messages %}<|im_start|>{{ 'user' if message.role == 'tool' else message.role }}
{{ message.content }}{%- for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{%- endfor %}<|im_end|>
{% endfor %}{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def expect(condition, what):
    print(("ok    " if condition else "FAIL  ") + what, flush=True)
    if not condition:
        sys.exit(1)


class Server:
    def __init__(self, program, *arguments):
        self.process = subprocess.Popen([program, "serve", "--port", "0", *arguments], stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)
        line = self.process.stdout.readline()
        match = re.match(r"listening on http://127\.0\.0\.1:(\d+)$", line.strip())
        expect(bool(match), f"the server says where it listens: {line.strip()}")
        self.port = int(match[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def client(self, key="k", retries=0):
        return openai.OpenAI(base_url=self.url + "/v1", api_key=key, max_retries=retries, timeout=300)

    def resident(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def prepare(program, folder):
    """The demo model with a template that knows tools, two adapters of it, and a model that calls a tool."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "Fixtures")
    shutil.copytree(os.path.join(root, "demo-model"), folder + "/demo")
    with open(folder + "/demo/chat_template.jinja", "w") as f:
        f.write(TEMPLATE)
    for name, steps in [("facts", 60), ("few", 10)]:
        subprocess.run([program, "train", "--model", folder + "/demo", "--data_path", os.path.join(root, "sample.jsonl"),
                        "--output_dir", f"{folder}/{name}", "--max_steps", str(steps), "--learning_rate", "2e-3",
                        "--per_device_train_batch_size", "8", "--gradient_accumulation_steps", "1"],
                       check=True, stderr=subprocess.DEVNULL)
    rows = []
    for city in ["Paris", "Rome", "Oslo", "Madrid", "Berlin"]:
        rows.append({"messages": [
            {"role": "user", "content": f"What is the weather in {city}?"},
            {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {
                "name": "get_weather", "arguments": {"city": city}}}]}], "tools": [TOOL]})
    with open(folder + "/tools.jsonl", "w") as f:
        f.writelines(json.dumps(row) + "\n" for row in rows)
    # The demo model has never seen a brace: all of it has to learn.
    subprocess.run([program, "train", "--full", "--model", folder + "/demo", "--output_dir", folder + "/tools",
                    "--data_path", folder + "/tools.jsonl", "--max_steps", "60", "--learning_rate", "2e-3",
                    "--per_device_train_batch_size", "5", "--gradient_accumulation_steps", "1"],
                   check=True, stderr=subprocess.DEVNULL)


def official_client(server):
    client = server.client()
    names = [m.id for m in client.models.list()]
    expect(names == ["demo", "facts", "few"], f"models: {names}")
    expect(client.models.retrieve("facts").id == "facts", "one model by its name")
    question = [{"role": "user", "content": "What is your name?"}]
    answers = {}
    for name in names[:2]:
        answer = client.chat.completions.create(model=name, messages=question, temperature=0, max_tokens=40)
        answers[name] = answer.choices[0].message.content
        expect(answer.choices[0].finish_reason == "stop" and answer.usage.total_tokens > 0,
               f"{name} says: {answers[name]}")
    expect(answers["demo"] != answers["facts"], "base and adapter answer differently")
    stream = client.chat.completions.create(
        model="facts", messages=question, temperature=0, max_tokens=40, stream=True,
        stream_options={"include_usage": True})
    text, usage, reasons, chunks = "", None, [], 0
    for chunk in stream:
        chunks += 1
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
    expect(text == answers["facts"] and reasons == ["stop"] and usage.completion_tokens > 3 and chunks > 4,
           f"streamed in {chunks} chunks, {usage.completion_tokens} tokens")
    answer = client.chat.completions.create(
        model="demo", messages=question, n=3, temperature=1.5, seed=7, max_tokens=12, logprobs=True, top_logprobs=4)
    again = client.chat.completions.create(
        model="demo", messages=question, n=3, temperature=1.5, seed=7, max_tokens=12)
    expect([c.message.content for c in answer.choices] == [c.message.content for c in again.choices],
           "a seed gives the same three answers again")
    content = answer.choices[1].logprobs.content
    expect(all(len(t.top_logprobs) == 4 and t.logprob <= 0 for t in content)
           and bytes(b for t in content for b in t.bytes).decode(errors="replace").startswith(
               answer.choices[1].message.content[:4]), "log-probabilities of each token")
    answer = client.chat.completions.create(model="facts", messages=question, temperature=0, stop=["Quill"])
    expect("Quill" not in answer.choices[0].message.content and answer.choices[0].finish_reason == "stop",
           f"a stop string ends the answer: {answer.choices[0].message.content!r}")
    answer = client.completions.create(model="demo", prompt=["a b c", "one two"], max_tokens=5, temperature=0, logprobs=2)
    expect([c.index for c in answer.choices] == [0, 1] and len(answer.choices[0].logprobs.tokens) == 5,
           f"completions: {[c.text for c in answer.choices]}")
    text = "".join(c.choices[0].text for c in client.completions.create(
        model="demo", prompt="a b c", max_tokens=5, temperature=0, stream=True))
    expect(text == answer.choices[0].text, "streamed completion")


def tools(program, folder):
    server = Server(program, "--model", folder + "/tools")
    client = server.client()
    question = [{"role": "user", "content": "What is the weather in Rome?"}]
    answer = client.chat.completions.create(model="tools", messages=question, tools=[TOOL], temperature=0).choices[0]
    call = answer.message.tool_calls[0]
    expect(answer.finish_reason == "tool_calls" and call.function.name == "get_weather"
           and json.loads(call.function.arguments) == {"city": "Rome"} and answer.message.content is None,
           f"a tool call: {call.function.name} {call.function.arguments}")
    calls = {}
    for chunk in client.chat.completions.create(
            model="tools", messages=question, tools=[TOOL], temperature=0, stream=True):
        for part in chunk.choices[0].delta.tool_calls or []:
            name, arguments = calls.get(part.index, ("", ""))
            calls[part.index] = (name + (part.function.name or ""), arguments + (part.function.arguments or ""))
    expect(calls == {0: ("get_weather", call.function.arguments)}, "the same, streamed")
    more = question + [answer.message.model_dump(exclude_none=True),
                       {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    expect(client.chat.completions.create(model="tools", messages=more, tools=[TOOL], max_tokens=4).usage.prompt_tokens
           > 0, "the tool's answer goes back")
    answer = client.chat.completions.create(
        model="tools", messages=question, tools=[TOOL], tool_choice="none", temperature=0, max_tokens=60).choices[0]
    expect(not answer.message.tool_calls, "tool_choice none")
    server.stop()


def errors(server, program):
    client = server.client()
    question = [{"role": "user", "content": "a"}]
    cases = [
        (openai.NotFoundError, "model_not_found", dict(model="nothing", messages=question)),
        (openai.BadRequestError, None, dict(model="demo", messages=[])),
        (openai.BadRequestError, None, dict(model="demo", messages=question, temperature=-1)),
        (openai.BadRequestError, None, dict(model="demo", messages=question, tool_choice="required", tools=[TOOL])),
        (openai.BadRequestError, None, dict(model="demo", messages=question, response_format={"type": "json_object"})),
        (openai.BadRequestError, "context_length_exceeded",
         dict(model="demo", messages=[{"role": "user", "content": "word " * 20000}])),
        (openai.BadRequestError, None, dict(model="demo", messages=[{"role": "nobody", "content": "a"}])),
    ]
    for kind, code, arguments in cases:
        try:
            client.chat.completions.create(**arguments)
            expect(False, f"{arguments} is refused")
        except kind as error:
            expect(error.code == code, f"{error.status_code} {error.message[:100]}")
    locked = Server(program, "--api_key", "secret")
    try:
        locked.client("wrong").models.list()
        expect(False, "a wrong key is refused")
    except openai.AuthenticationError as error:
        expect(error.code == "invalid_api_key", "401 without the key")
    expect(len(locked.client("secret").models.list().data) == 1, "the right key is taken")
    expect(locked.stop() == 0, "SIGTERM ends it with exit code 0")


def load(server, seconds, clients):
    """Many clients for a while: no error, and memory that stays."""
    end = time.time() + seconds
    lock = threading.Lock()
    firsts, tokens, failures, requests, retried = [], [0], [], [0], [0]

    def work(number):
        random_numbers = random.Random(number)
        client = server.client(retries=8)
        while time.time() < end:
            words = " ".join(random_numbers.choice(["name", "blue", "two", "cat", "day", "seven"])
                             for _ in range(random_numbers.randrange(1, 60)))
            start, first, count = time.time(), None, 0
            try:
                for chunk in client.chat.completions.create(
                        model=random_numbers.choice(["demo", "facts", "few"]), stream=True, temperature=1.2,
                        messages=[{"role": "user", "content": words}], max_tokens=random_numbers.randrange(1, 80),
                        extra_body={"ignore_eos": True}, stream_options={"include_usage": True}):
                    if chunk.choices and chunk.choices[0].delta.content:
                        first = first or time.time() - start
                    count = chunk.usage.completion_tokens if chunk.usage else count
            except Exception as error:  # noqa: BLE001
                with lock:
                    failures.append(repr(error))
                return
            with lock:
                if first:
                    firsts.append(first)
                tokens[0] += count
                requests[0] += 1

    samples = [server.resident()]
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(work, n) for n in range(clients)]
        start = time.time()
        while time.time() < end:
            time.sleep(min(5, seconds / 8))
            samples.append(server.resident())
        for future in futures:
            future.result()
    elapsed = time.time() - start
    firsts.sort()
    print(f"      {clients} clients, {elapsed:.0f} s: {requests[0]} requests, {tokens[0]} tokens, "
          f"{tokens[0] / elapsed:.0f} tokens/s, first text median {firsts[len(firsts) // 2] * 1000:.0f} ms, "
          f"95 % {firsts[len(firsts) * 95 // 100] * 1000:.0f} ms")
    print("      resident MiB: " + ", ".join(f"{s:.0f}" for s in samples))
    expect(not failures, f"no failed request {failures[:2]}")
    warm = samples[len(samples) // 4:]
    expect(max(warm[len(warm) // 2:]) < 1.05 * max(warm[:len(warm) // 2]) + 8, "memory stays")


def malformed(random_numbers):
    good = b'{"model": "demo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}'
    kind = random_numbers.randrange(12)
    if kind == 0:
        return random_numbers.randbytes(random_numbers.randrange(1, 400)) + b"\r\n\r\n"
    if kind == 1:
        return b"GET /" + random_numbers.randbytes(20).hex().encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    if kind == 2:
        return b"POST /v1/chat/completions HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n{}"
    if kind == 3:
        return b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * random_numbers.randrange(20000, 90000) + b"\r\n\r\n"
    if kind == 4:
        return b"DELETE /v1/completions HTTP/1.1\r\nHost: localhost\r\n\r\n"
    body = good
    if kind == 5:
        body = good[:random_numbers.randrange(1, len(good))]
    elif kind == 6:
        values = [None, -1, 1e308, "x", [], {}, True, [[]], "\u0000", 2**70, {"a": 1}]
        request = json.loads(good)
        for _ in range(random_numbers.randrange(1, 3)):
            name = random_numbers.choice(["messages", "n", "temperature", "stop", "logit_bias", "top_logprobs", "stream_options",
                                          "response_format", "max_tokens", "tools", "chat_template_kwargs", "model"])
            request[name] = random_numbers.choice(values)
        request["messages"] = random_numbers.choice([request["messages"], [{"role": 3}], [[]], [{"role": "user", "content": 7}]])
        if request["messages"] == json.loads(good)["messages"]:
            request["messages"] = "text"
        body = json.dumps(request).encode()
    elif kind == 7:
        place = random_numbers.randrange(len(good))
        body = good[:place] + random_numbers.randbytes(3) + good[place:]
        try:
            json.loads(body)
            body = b"\xff" + body
        except ValueError:
            pass
    elif kind == 8:
        body = b"[" * random_numbers.randrange(100, 100000)
    elif kind == 9:
        return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n" + good)
    elif kind == 10:
        return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + good)
    else:
        return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n" + good)
    return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            % (random_numbers.randrange(65536), len(body)) + body)


def fuzz(server, count):
    """Malformed requests get 4xx or a closed connection, while another client is served."""
    random_numbers = random.Random(20260611)
    statuses, stop, waits, failures = {}, threading.Event(), [], []

    def other():
        client = server.client()
        while not stop.is_set():
            start = time.time()
            try:
                client.chat.completions.create(
                    model="demo", messages=[{"role": "user", "content": "hello"}], max_tokens=4)
                waits.append(time.time() - start)
            except Exception as error:  # whatever it is: a client that is not served
                failures.append(repr(error))
            time.sleep(0.05)

    thread = threading.Thread(target=other)
    thread.start()
    for _ in range(count):
        data = malformed(random_numbers)
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            answer = b""
            try:
                connection.sendall(data)
                if random_numbers.randrange(8) == 0:
                    continue  # a client that leaves
                connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65536):
                    answer += chunk
            except (ConnectionResetError, BrokenPipeError):
                pass
        status = answer.split(b" ")[1].decode() if answer.startswith(b"HTTP/") else "closed"
        statuses[status] = statuses.get(status, 0) + 1
    stop.set()
    thread.join()
    print(f"      {count} malformed requests: {dict(sorted(statuses.items()))}")
    expect(all(s == "closed" or s.startswith("4") for s in statuses), "all of them got 4xx or a closed connection")
    waits.sort()
    expect(not failures, f"another client was served without a failure {failures[:3]}")
    enough = max(3, count // 100)
    expect(len(waits) >= enough and waits[-1] < 5, f"another client was served {len(waits)} times, at most {waits[-1]:.2f} s")
    expect(server.process.poll() is None, "the server is there")


def cancellation(server):
    """A client that leaves ends its generation."""
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "count"}], "max_tokens": 900, "n": 16,
                       "ignore_eos": True, "stream": True}).encode()
    for stream in [True, False]:
        metrics = urllib.request.urlopen(server.url + "/metrics").read().decode()
        before = int(re.search(r"\nqwen_sft_generated_tokens_total (\d+)", metrics)[1])
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            sent = body if stream else body.replace(b'"stream": true', b'"stream": false')
            connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
                               % len(sent) + sent)
            time.sleep(0.3)
        # At the next token, or a second after the client's end.
        end = time.time() + 4
        metrics = ""
        while "\nqwen_sft_running_answers 0\n" not in metrics and time.time() < end:
            time.sleep(0.1)
            metrics = urllib.request.urlopen(server.url + "/metrics").read().decode()
        generated = int(re.search(r"\nqwen_sft_generated_tokens_total (\d+)", metrics)[1]) - before
        expect(time.time() < end and generated < 16 * 900,
               f"nothing runs after its client has left (stream: {stream}, {generated} tokens)")


def shutdown(server):
    """SIGINT: the running answer ends, nothing new is taken, exit code 0."""
    client = server.client()
    stream = client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "count"}], max_tokens=200, stream=True,
        extra_body={"ignore_eos": True})
    iterator = iter(stream)
    next(iterator)
    server.process.send_signal(signal.SIGINT)
    reasons = [c.choices[0].finish_reason for c in iterator if c.choices]
    expect(reasons[-1] == "length", "an answer that runs at SIGINT is finished")
    expect(server.process.wait(60) == 0, "exit code 0")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--malformed", type=int, default=5000)
    parser.add_argument("--folder", help="keeps the adapters here for the next time")
    options = parser.parse_args()
    program = os.path.abspath(options.program)
    with tempfile.TemporaryDirectory() as folder:
        folder = options.folder or folder
        if not os.path.exists(folder + "/tools"):
            prepare(program, folder)
        server = Server(program, "--model", folder + "/demo", "--adapter", f"facts={folder}/facts", "--adapter", f"few={folder}/few")
        official_client(server)
        tools(program, folder)
        errors(server, program)
        cancellation(server)
        fuzz(server, options.malformed)
        load(server, options.seconds, options.clients)
        shutdown(server)


if __name__ == "__main__":
    main()
