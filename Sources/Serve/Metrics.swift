// Counters in the text form that Prometheus reads.

import SFT
import Synchronization

/// What has happened since the start.
final class Metrics: Sendable {
  /// Seconds up to a bound, as Prometheus' histograms count.
  private struct Histogram {
    static let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
    var counts = [Int](repeating: 0, count: bounds.count)
    var total = 0
    var sum = 0.0

    mutating func add(_ seconds: Double) {
      total += 1
      sum += seconds
      for (index, bound) in Self.bounds.enumerated() where seconds <= bound { counts[index] += 1 }
    }

    func text(_ name: String, _ help: String) -> String {
      var text = "# HELP \(name) \(help)\n# TYPE \(name) histogram\n"
      for (bound, count) in zip(Self.bounds, counts) {
        text += "\(name)_bucket{le=\"\(bound)\"} \(count)\n"
      }
      return text
        + "\(name)_bucket{le=\"+Inf\"} \(total)\n\(name)_sum \(sum)\n\(name)_count \(total)\n"
    }
  }

  private struct Key: Hashable, Comparable {
    let path: String
    let status: Int
    static func < (left: Key, right: Key) -> Bool {
      (left.path, left.status) < (right.path, right.status)
    }
  }

  private struct State {
    var requests: [Key: Int] = [:]
    var promptTokens = 0
    var generatedTokens = 0
    var cancelled = 0
    var running = 0
    var waiting = 0
    var firstToken = Histogram()
    var betweenTokens = Histogram()
    var request = Histogram()
  }

  private let state = Mutex(State())

  /// A request to one of the known paths has been answered with `status`.
  func countRequest(_ path: String, status: Int) {
    state.withLock { $0.requests[Key(path: path, status: status), default: 0] += 1 }
  }

  /// A prompt has been taken in.
  func countPrompt(tokens: Int) { state.withLock { $0.promptTokens += tokens } }

  /// A token has been generated.
  func countToken() { state.withLock { $0.generatedTokens += 1 } }

  /// A client has left before its answer was whole.
  func countCancellation() { state.withLock { $0.cancelled += 1 } }

  /// Answers that are decoded and requests that wait, now.
  func setLoad(running: Int, waiting: Int) {
    state.withLock { ($0.running, $0.waiting) = (running, waiting) }
  }

  /// Seconds from a request to its first token.
  func recordFirstToken(_ seconds: Double) { state.withLock { $0.firstToken.add(seconds) } }

  /// Mean seconds a token after the first.
  func recordBetweenTokens(_ seconds: Double) { state.withLock { $0.betweenTokens.add(seconds) } }

  /// Seconds of a whole request.
  func recordRequest(_ seconds: Double) { state.withLock { $0.request.add(seconds) } }

  /// All of it, in the text form of version 0.0.4.
  var text: String {
    let now = state.withLock { $0 }
    func simple(_ name: String, _ type: String, _ help: String, _ value: Int) -> String {
      "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n\(name) \(value)\n"
    }
    let requests = "qwen_sft_requests_total"
    var text = "# HELP \(requests) Requests answered.\n# TYPE \(requests) counter\n"
    for (key, count) in now.requests.sorted(by: { $0.key < $1.key }) {
      text += "\(requests){path=\"\(key.path)\",status=\"\(key.status)\"} \(count)\n"
    }
    text += simple(
      "qwen_sft_prompt_tokens_total", "counter", "Tokens of prompts.", now.promptTokens)
    text += simple(
      "qwen_sft_generated_tokens_total", "counter", "Tokens generated.", now.generatedTokens)
    text += simple(
      "qwen_sft_cancelled_requests_total", "counter", "Requests whose client left.", now.cancelled)
    text += simple("qwen_sft_running_answers", "gauge", "Answers being decoded.", now.running)
    text += simple("qwen_sft_waiting_requests", "gauge", "Requests that wait.", now.waiting)
    text += simple(
      "qwen_sft_peak_resident_bytes", "gauge", "The highest resident set of the process.",
      ProcessMemory.peakResidentByteCount)
    text += now.firstToken.text(
      "qwen_sft_time_to_first_token_seconds", "From the request to its first token.")
    text += now.betweenTokens.text(
      "qwen_sft_time_per_output_token_seconds", "Mean time of a token after the first.")
    return text + now.request.text("qwen_sft_request_seconds", "Whole requests to the model.")
  }
}
