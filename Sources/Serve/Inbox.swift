// What requests want from the thread that decodes, and how that thread waits for it.

import Dispatch
import QwenModel
import Synchronization

/// What a request hears from the thread that decodes.
enum EngineEvent: Sendable {
  /// A token of answer `choice`.
  case token(choice: Int, DecodedToken)
  /// There will be no more of the answer.
  case failed(APIError)
}

/// Prompts of one request, each with a number of answers.
struct EngineJob: Sendable {
  /// Its number.
  let id: Int
  /// The prompts.
  let requests: [DecodingRequest]
  /// Answers to each.
  let answersPerPrompt: Int
  /// When it must be done.
  let deadline: ContinuousClock.Instant
  /// Gets the tokens.
  let continuation: AsyncStream<EngineEvent>.Continuation

  /// Answers in all.
  var answerCount: Int { requests.count * answersPerPrompt }
}

/// The way into the thread that decodes: safe from any thread.
final class Inbox: Sendable {
  /// A message to the thread.
  enum Message: Sendable {
    /// Take up a job when there is room.
    case job(EngineJob)
    /// Nobody wants a job's answers any more.
    case cancel(job: Int)
    /// Refuse what waits, and end what runs at a time.
    case drain(ContinuousClock.Instant)
    /// Nobody wants the rest of one answer of a job.
    case end(job: Int, choice: Int)
  }

  private struct State {
    var messages: [Message] = []
    var isClosed = false
  }

  private let state = Mutex(State())
  private let semaphore = DispatchSemaphore(value: 0)

  /// Leaves a message; false where the thread takes no more.
  @discardableResult
  func send(_ message: Message) -> Bool {
    let isTaken = state.withLock { state in
      if state.isClosed { return false }
      state.messages.append(message)
      return true
    }
    semaphore.signal()
    return isTaken
  }

  /// Ends the thread once it has nothing to do.
  func close() {
    state.withLock { $0.isClosed = true }
    semaphore.signal()
  }

  /// The messages that are there; with `isIdle` it waits for some. nil when closed and empty.
  func take(isIdle: Bool) -> [Message]? {
    while true {
      let (messages, isClosed) = state.withLock { state in
        defer { state.messages = [] }
        return (state.messages, state.isClosed)
      }
      if !messages.isEmpty || !isIdle { return messages }
      if isClosed { return nil }
      semaphore.wait()
    }
  }
}
