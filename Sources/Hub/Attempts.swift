// Patience: how often something is tried, and the waits between.

/// Tries in a row, with waits between them that grow.
struct Attempts {
  private let context: HubContext
  /// Failed tries since the last progress.
  private(set) var failures = 0

  init(_ context: HubContext) { self.context = context }

  /// Takes note of progress: the count begins anew.
  mutating func noteProgress() { failures = 0 }

  /// Waits for the next try, or throws what ends them all. `subject` is what errors name.
  mutating func wait(after setback: Setback, subject: String) throws(HubError) {
    let settings = context.settings
    let (problem, asked, maximumTries): (String, Double?, Int)
    switch setback {
    case .final(let error): throw error
    case .unreachable(let words):
      (problem, asked, maximumTries) = (words, nil, min(3, settings.maximumTries))
    case .transient(let words, let seconds):
      (problem, asked, maximumTries) = (words, seconds, settings.maximumTries)
    }
    failures += 1
    guard failures < maximumTries else {
      throw .network(subject: subject, problem: problem, tries: failures)
    }
    if let asked, asked > settings.maximumRetryAfterSeconds {
      throw .network(
        subject: subject,
        problem: "\(problem), and asks to wait \(Int(min(asked, 1e12).rounded(.up))) s",
        tries: failures)
    }
    var seconds = settings.firstDelaySeconds
    for _ in 1..<failures { seconds = min(seconds * 2, settings.maximumDelaySeconds) }
    // Programs that were cut off together should not come back together.
    seconds *= Double.random(in: 0.5...1)
    seconds = max(seconds, asked ?? 0)
    context.report(.retrying(subject: subject, problem: problem, seconds: seconds))
    try context.sleep(seconds)
  }

  /// `body` until it succeeds or patience ends.
  static func repeated<Value>(
    _ context: HubContext, subject: String, _ body: () throws(Setback) -> Value
  ) throws(HubError) -> Value {
    var attempts = Attempts(context)
    while true {
      do throws(Setback) { return try body() } catch {
        try attempts.wait(after: error, subject: subject)
      }
    }
  }
}
