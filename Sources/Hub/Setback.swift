// The outcome of a try that did not succeed: worth another, or not.

/// Why a try failed.
enum Setback: Error {
  /// The next try may go better; a server can ask to wait so long.
  case transient(problem: String, retryAfterSeconds: Double?)
  /// There is no way to the server: few more tries are worth it.
  case unreachable(problem: String)
  /// No other try will go better.
  case final(HubError)
}
