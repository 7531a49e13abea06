// The server as a client meets it, over a real socket.

import Foundation
import OrderedJSON
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

@Suite("Serve")
struct ServeTests {
  let program: Program

  init() throws { program = try Program() }

  private static let question: JSON = [["role": "user", "content": "What is your name?"]]

  /// A request of the demo model's greedy answer, with further fields.
  private func request(_ fields: JSONObject = [:]) -> JSON {
    var object: JSONObject = ["model": "demo", "messages": Self.question, "max_tokens": 40]
    for (key, value) in fields { object[key] = value }
    return .object(object)
  }

  @Test("an answer is that of `chat`, whole and streamed, with its numbers of tokens")
  func answers() throws {
    let expected = try JSON.parse(
      program.run(["chat", "--prompt", "What is your name?", "--temperature", "0", "--json"]).output
    )
    let server = try TestServer(program)
    let whole = try server.chat(request())
    #expect(whole.status == 200 && whole.json["object"] == "chat.completion")
    let choice = whole.json["choices"]?.arrayValue?.first
    #expect(choice?["message"]?["content"] == expected["text"])
    #expect(choice?["finish_reason"] == "stop" && choice?["message"]?["role"] == "assistant")
    #expect(whole.json["usage"]?["prompt_tokens"] == expected["prompt_tokens"])
    #expect(whole.json["usage"]?["completion_tokens"] == expected["new_tokens"])

    let streamed = try server.chat(
      request(["stream": true, "stream_options": ["include_usage": true]]))
    #expect(streamed.headers["content-type"]?.hasPrefix("text/event-stream") == true)
    #expect(streamed.body.hasSuffix("data: [DONE]\n\n"))
    let events = streamed.events
    let text = events.compactMap {
      $0["choices"]?.arrayValue?.first?["delta"]?["content"]?.stringValue
    }.joined()
    #expect(.string(text) == expected["text"])
    #expect(events.last?["usage"] == whole.json["usage"] && events.last?["choices"] == [])

    let several = try server.chat(
      request(["n": 3, "temperature": 2, "seed": 5, "logprobs": true, "top_logprobs": 2]))
    let again = try server.chat(request(["n": 3, "temperature": 2, "seed": 5]))
    let texts = several.json["choices"]?.arrayValue?.map { $0["message"] ?? .null }
    #expect(texts?.count == 3)
    #expect(texts == again.json["choices"]?.arrayValue?.map { $0["message"] ?? .null })
    let token = several.json["choices"]?.arrayValue?.first?["logprobs"]?["content"]?.arrayValue?
      .first
    #expect(token?["top_logprobs"]?.arrayValue?.count == 2)
    #expect(try #require(token?["logprob"]?.doubleValue) <= 0)

    let stopped = try server.chat(request(["stop": ["a name"]]))
    let stoppedText = stopped.json["choices"]?.arrayValue?.first?["message"]?["content"]
    #expect(
      stoppedText?.stringValue
        == expected["text"]?.stringValue?.components(separatedBy: "a name").first)
    let completion = try server.send(
      "POST", "/v1/completions",
      body: #"{"prompt": ["a", [5, 6]], "max_tokens": 3, "logprobs": 1, "temperature": 0}"#)
    #expect(completion.json["choices"]?.arrayValue?.count == 2)
    #expect(server.stop() == 0)
  }

  @Test("health, models, metrics and the page are there; everything else is OpenAI's error object")
  func paths() throws {
    let server = try TestServer(program, "--served_model_name base")
    #expect(try server.send("GET", "/health").json == ["status": "ok"])
    let models = try server.send("GET", "/v1/models").json
    #expect(models["data"]?.arrayValue?.compactMap { $0["id"] } == ["base"])
    #expect(try server.send("GET", "/v1/models/b%61se").json["id"] == "base")
    let page = try server.send("GET", "/")
    #expect(page.status == 200 && page.body.contains("<title>qwen-sft</title>"))
    #expect(page.headers["content-security-policy"]?.contains("script-src 'sha256-") == true)
    #expect(page.headers["access-control-allow-origin"] == nil)
    _ = try server.chat(["messages": Self.question, "max_tokens": 2])
    let metrics = try server.send("GET", "/metrics").body
    #expect(
      metrics.contains(#"qwen_sft_requests_total{path="/v1/chat/completions",status="200"} 1"#))
    #expect(metrics.contains("\nqwen_sft_generated_tokens_total 2\n"))
    #expect(metrics.contains("qwen_sft_time_to_first_token_seconds_count 1\n"))
    for (method, path, status) in [
      ("GET", "/nothing", 404), ("GET", "/v1/chat/completions", 405), ("POST", "/health", 405),
      ("DELETE", "/v1/models/base", 404), ("GET", "/v1/models/other", 404), ("OPTIONS", "/", 405),
    ] {
      let answer = try server.send(method, path)
      #expect(answer.status == status, "\(method) \(path)")
      #expect(answer.json["error"]?["message"]?.stringValue?.isEmpty == false)
    }
    #expect(server.stop(SIGINT) == 0)
  }

  @Test("HEAD has the fields of GET and no body, so that the next answer is where it should be")
  func heads() throws {
    let server = try TestServer(program)
    let host = "Host: 127.0.0.1:\(server.port)\r\n"
    for path in ["/health", "/", "/v1/models", "/metrics", "/nothing"] {
      let text = try server.text(
        raw: Array(
          ("HEAD \(path) HTTP/1.1\r\n\(host)\r\n"
            + "GET \(path) HTTP/1.1\r\n\(host)Connection: close\r\n\r\n").utf8))
      let parts = text.components(separatedBy: "\r\n\r\n")
      try #require(parts.count >= 3, "\(text)")
      // The counters of /metrics have changed in between.
      func fields(_ head: String) -> Set<String> {
        Set(head.components(separatedBy: "\r\n").filter { !$0.lowercased().hasPrefix("date:") })
      }
      if path != "/metrics" { #expect(fields(parts[0]) == fields(parts[1]), "\(path)") }
      #expect(parts[0].lowercased().contains("content-length: "))
      #expect(parts[1].hasPrefix("HTTP/1.1 \(path == "/nothing" ? 404 : 200) "), "\(path)")
      #expect(!parts[2].isEmpty)
    }
  }

  @Test("requests that make no sense are refused with the field's name")
  func refusals() throws {
    let server = try TestServer(program, "--max_body_bytes 5000 --max_concurrency 4")
    let cases: [(JSONObject, String?)] = [
      (["messages": []], "messages"), (["messages": "hi"], "messages"),
      (["messages": [["role": "user", "content": [["type": "image_url"]]]]], "messages"),
      (["messages": [["role": "owner", "content": "a"]]], "messages"),
      (["messages": [["role": "user", "content": nil]]], "messages"),
      (["messages": [["role": "user"]]], "messages"),
      (["messages": [["role": "user", "content": "a"], ["role": "assistant"]]], "messages"),
      (["temperature": -1], "temperature"), (["temperature": "hot"], "temperature"),
      (["top_p": 2], "top_p"), (["n": 0], "n"), (["n": 5], "n"), (["max_tokens": 0], "max_tokens"),
      (["stop": ["", "a"]], "stop"), (["logit_bias": ["99999": 1]], "logit_bias"),
      (["top_logprobs": 3], "top_logprobs"), (["stream_options": [:]], "stream_options"),
      (["response_format": ["type": "json_object"]], "response_format"),
      (["tool_choice": "required"], "tool_choice"), (["tools": [["type": "function"]]], "tools"),
      (["chat_template_kwargs": ["messages": 1]], "chat_template_kwargs"),
      (["max_tokens": 100_000], "messages"), (["presence_penalty": 3], "presence_penalty"),
    ]
    for (fields, parameter) in cases {
      let answer = try server.chat(request(fields))
      #expect(answer.status == 400, "\(JSON.object(fields).serialized())")
      #expect(answer.json["error"]?["param"]?.stringValue == parameter, "\(answer.body)")
      #expect(answer.json["error"]?["type"] == "invalid_request_error")
    }
    let long = try server.send(
      "POST", "/v1/completions", body: #"{"prompt": "a", "max_tokens": 100000}"#)
    #expect(long.status == 400 && long.json["error"]?["param"] == "prompt", "\(long.body)")
    #expect(try server.chat(request(["model": "gpt-4"])).status == 404)
    for body in ["", "{", "[]", "\u{FEFF}{}", String(repeating: "[", count: 4000), "{}"] {
      #expect(try server.send("POST", "/v1/chat/completions", body: body).status == 400)
    }
    let large = String(repeating: " ", count: 6000)
    #expect(try server.send("POST", "/v1/chat/completions", body: large).status == 413)
    for bytes in ["\r\n\r\n\r\n", "nonsense\r\n\r\n", "GET / HTTP/9\r\n\r\n", "\u{0}\u{1}\r\n\r\n"]
    {
      // What is no request is waited for until the client has nothing more to say.
      let status = try server.send(raw: Array(bytes.utf8), isLast: true).status
      #expect(status == 0 || (400..<500).contains(status), "\(bytes.debugDescription): \(status)")
    }
    let header = ["X": String(repeating: "y", count: 40_000)]
    #expect([0, 400, 431].contains(try server.send("GET", "/health", headers: header).status))
    #expect(try server.send("GET", "/health").status == 200)
  }

  @Test("the key is asked for, and pages of other sites are turned away")
  func access() throws {
    let server = try TestServer(program, "--api_key s3cret --allowed_host box.example")
    #expect(try server.send("GET", "/health").status == 200)
    for key in ["", "Bearer s3cre", "Bearer s3crets", "s3cret", "Basic s3cret"] {
      let answer = try server.send("GET", "/v1/models", headers: ["Authorization": key])
      #expect(answer.status == 401 && answer.json["error"]?["code"] == "invalid_api_key")
    }
    let key = ["Authorization": "Bearer s3cret"]
    #expect(try server.send("GET", "/v1/models", headers: key).status == 200)
    #expect(try server.send("GET", "/metrics").status == 401)
    let own = "127.0.0.1:\(server.port)"
    for (host, origin, status) in [
      (own, "http://\(own)", 200), (own, "http://evil.example", 403), (own, "null", 403),
      ("evil.example", "http://evil.example", 403), ("evil.example", nil, 403),
      ("localhost:\(server.port)", "http://localhost:\(server.port)", 200),
      ("box.example", "https://box.example", 200), ("127.0.0.1.evil.example", nil, 403),
    ] as [(String, String?, Int)] {
      var headers = key
      headers["Host"] = host
      headers["Origin"] = origin
      #expect(
        try server.send("GET", "/v1/models", headers: headers).status == status,
        "\(host) \(origin ?? "-")")
    }
  }

  @Test("what is too much is refused with the time to come back, and who leaves is not answered")
  func pressure() throws {
    let server = try TestServer(program, "--max_concurrency 1 --max_queue 0")
    let long = request(["max_tokens": 900, "ignore_eos": true, "stream": true]).serialized()
    let running = try server.connect()
    let bytes = server.bytes("POST", "/v1/chat/completions", body: long)
    #expect(send(running, bytes, bytes.count, 0) == bytes.count)
    var first = [UInt8](repeating: 0, count: 64)
    #expect(recv(running, &first, first.count, 0) > 0)
    let refused = try server.chat(request())
    #expect(refused.status == 429 && refused.headers["retry-after"] != nil)
    close(running)
    // Its place is free again before its 900 tokens are through.
    var status = 429
    for _ in 0..<200 where status == 429 {
      usleep(20_000)
      status = try server.chat(request(["max_tokens": 2])).status
    }
    #expect(status == 200)
    // The gauge follows a moment after the answer.
    var metrics = ""
    for _ in 0..<200 where !metrics.contains("\nqwen_sft_running_answers 0\n") {
      usleep(20_000)
      metrics = try server.send("GET", "/metrics").body
    }
    #expect(metrics.contains("\nqwen_sft_running_answers 0\n"))
  }

  @Test("a running answer is finished after SIGTERM, and the exit code is 0")
  func shutdown() throws {
    let server = try TestServer(program)
    let long = request(["max_tokens": 300, "ignore_eos": true, "stream": true]).serialized()
    let running = try server.connect()
    defer { close(running) }
    let bytes = server.bytes("POST", "/v1/chat/completions", body: long)
    #expect(send(running, bytes, bytes.count, 0) == bytes.count)
    var first = [UInt8](repeating: 0, count: 16)
    #expect(recv(running, &first, first.count, 0) > 0)
    kill(server.process.processIdentifier, SIGTERM)
    var rest: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while case let count = recv(running, &buffer, buffer.count, 0), count > 0 {
      rest += buffer[..<count]
    }
    let text = String(decoding: rest, as: UTF8.self)
    #expect(
      text.contains(#""finish_reason":"length""#) && text.contains("data: [DONE]"),
      "\(text.count) characters that end in \(text.suffix(300))")
    server.process.waitUntilExit()
    #expect(server.process.terminationReason == .exit && server.process.terminationStatus == 0)
  }

  @Test("a server that cannot start is one line and exit code 1 or 64")
  func startup() throws {
    let server = try TestServer(program)
    let taken = try program.run("serve --port \(server.port)")
    #expect(taken.code == 1 && taken.faults.count == 1)
    #expect(taken.errors.contains("cannot listen on 127.0.0.1:\(server.port)"), "\(taken.errors)")
    try program.folder.write("", to: "a=b/none")
    for (line, code, text) in [
      ("serve --adapter runs/lr=2e-4/out", 1, "runs/lr=2e-4/out: no such folder"),
      ("serve --port 0 --adapter a=b", 1, "a=b/adapter_"),
      ("serve --port 70000", 64, "--port: expected 0 to 65535"),
      ("serve --max_concurrency 0", 64, "--max_concurrency"),
      ("serve --adapter x=nowhere", 1, "nowhere"),
      ("serve --adapter =nowhere", 1, "expected NAME=DIR"),
    ] as [(String, Int32, String)] {
      let outcome = try program.run(line)
      #expect(outcome.code == code && outcome.errors.contains(text), "\(line): \(outcome.errors)")
    }
  }
}
