// The one thread that owns the model: it takes requests in, decodes their answers together and hands out tokens.

import Dispatch
import NN
public import QwenModel
import Synchronization
import Tensor

/// Decodes answers of many requests together, on a thread of its own.
public final class Engine: Sendable {
  /// What the thread works with; made on it and never elsewhere.
  public struct Resources {
    let decoder: BatchDecoder

    /// Decodes with `decoder`.
    public init(decoder: BatchDecoder) { self.decoder = decoder }
  }

  private struct Load {
    var nextID = 0
    /// Answers that are decoded or wait, by job.
    var jobs: [Int: Int] = [:]
    var isStopping = false
    /// Why the thread has ended by itself.
    var failure: String?

    /// How many jobs wait before a new one of `count` answers, where `room` are decoded at a time; nil where it begins at once.
    func waiting(before count: Int, _ room: Int) -> Int? {
      var (taken, waiting) = (0, 0)
      // Numbers grow in the order of coming, in which the thread takes jobs up.
      for job in jobs.sorted(by: { $0.key < $1.key }) {
        if waiting == 0, taken == 0 || taken + job.value <= room {
          taken += job.value
        } else {
          waiting += 1
        }
      }
      return waiting == 0 && (taken == 0 || taken + count <= room) ? nil : waiting
    }
  }

  private let inbox = Inbox()
  private let load = Mutex(Load())
  private let maxConcurrency, maxQueue: Int
  let metrics: Metrics
  /// Hears why the thread has ended by itself; nothing else.
  let failures: AsyncStream<String>
  private let failed: AsyncStream<String>.Continuation

  /// An engine that decodes `maxConcurrency` answers at a time and lets `maxQueue` requests wait.
  init(maxConcurrency: Int, maxQueue: Int, metrics: Metrics) {
    self.maxConcurrency = maxConcurrency
    self.maxQueue = maxQueue
    self.metrics = metrics
    (failures, failed) = AsyncStream<String>.makeStream()
  }

  /// Why the thread has ended by itself; nil while it has not.
  var failure: String? { load.withLock { $0.failure } }

  /// Starts the thread and returns when `make`, which runs on it, has loaded the model.
  func start<Value: Sendable>(
    _ make: @escaping @Sendable () throws -> (resources: Resources, value: Value)
  ) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      DispatchQueue(label: "decoding", qos: .userInitiated).async { [self] in
        let made: (resources: Resources, value: Value)
        do { made = try make() } catch {
          continuation.resume(throwing: error)
          return
        }
        continuation.resume(returning: made.value)
        EngineLoop(
          decoder: made.resources.decoder, inbox: inbox, maxConcurrency: maxConcurrency,
          metrics: metrics, didEnd: { [self] id in forget(id) }, didFail: { [self] in fail($0) }
        ).run()
      }
    }
  }

  /// Asks for answers to each of `requests`. Dropping the stream cancels them.
  func submit(
    _ requests: [DecodingRequest], answersPerPrompt: Int, timeout: Duration
  ) throws(APIError) -> (job: Int, events: AsyncStream<EngineEvent>) {
    let count = requests.count * answersPerPrompt
    let admitted = load.withLock { load -> Result<Int, APIError> in
      if load.isStopping { return .failure(.stopping) }
      // Jobs that would begin at once are no queue.
      if let waiting = load.waiting(before: count, maxConcurrency), waiting >= maxQueue {
        return .failure(.overloaded)
      }
      load.nextID += 1
      load.jobs[load.nextID] = count
      return .success(load.nextID)
    }
    let id = try admitted.get()
    let (stream, continuation) = AsyncStream<EngineEvent>.makeStream()
    continuation.onTermination = { [inbox] reason in
      if case .cancelled = reason { inbox.send(.cancel(job: id)) }
    }
    let job = EngineJob(
      id: id, requests: requests, answersPerPrompt: answersPerPrompt,
      deadline: ContinuousClock.now + timeout, continuation: continuation)
    guard inbox.send(.job(job)) else {
      forget(id)
      throw .stopping
    }
    return (id, stream)
  }

  /// Ends one answer of a job early: its text holds a stop string.
  func end(job: Int, choice: Int) { inbox.send(.end(job: job, choice: choice)) }

  /// Ends a job that nobody wants any more; one that has ended is no error.
  func cancel(job: Int) { inbox.send(.cancel(job: job)) }

  /// Takes no more requests.
  func refuseRequests() { load.withLock { $0.isStopping = true } }

  /// Takes no more requests, refuses those that wait for a place, and lets those that run go on for at most `duration`.
  func drain(within duration: Duration) {
    refuseRequests()
    inbox.send(.drain(ContinuousClock.now + duration))
  }

  /// Ends the thread.
  func stop() {
    refuseRequests()
    inbox.close()
  }

  private func fail(_ problem: String) {
    load.withLock { load in
      load.isStopping = true
      load.failure = problem
    }
    inbox.close()
    failed.yield(problem)
    failed.finish()
  }

  private func forget(_ id: Int) { _ = load.withLock { $0.jobs.removeValue(forKey: id) } }
}

/// What the thread does; nobody else touches it.
private struct EngineLoop {
  let decoder: BatchDecoder
  let inbox: Inbox
  let maxConcurrency: Int
  let metrics: Metrics
  let didEnd: (Int) -> Void
  let didFail: (String) -> Void
  private var waiting: [EngineJob] = []
  private var running: [Int: EngineJob] = [:]
  /// The answer that a sequence of the decoder is.
  private var answers: [Int: (job: Int, choice: Int)] = [:]
  private var remaining: [Int: Int] = [:]
  private var end: ContinuousClock.Instant?
  /// Whether later work on the device is void.
  private var isDeviceLost = false

  init(
    decoder: BatchDecoder, inbox: Inbox, maxConcurrency: Int, metrics: Metrics,
    didEnd: @escaping (Int) -> Void, didFail: @escaping (String) -> Void
  ) {
    self.decoder = decoder
    self.inbox = inbox
    self.maxConcurrency = maxConcurrency
    self.metrics = metrics
    self.didEnd = didEnd
    self.didFail = didFail
  }

  consuming func run() {
    while let messages = inbox.take(isIdle: decoder.count == 0 && waiting.isEmpty) {
      for message in messages { obey(message) }
      expire()
      admit()
      metrics.setLoad(running: decoder.count, waiting: waiting.count)
      do {
        for token in try decoder.step() { deliver(token) }
      } catch {
        // Later work on the device is void: nobody is kept waiting for it, and what comes is refused.
        isDeviceLost = true
        didFail(error.description)
        for message in inbox.take(isIdle: false) ?? [] { obey(message) }
        for job in waiting + running.values { fail(job, .server(error.description)) }
        return
      }
    }
    for job in waiting + running.values { fail(job, .stopping) }
  }

  private mutating func obey(_ message: Inbox.Message) {
    switch message {
    case .job(let job): waiting.append(job)
    case .cancel(let id):
      for job in waiting where job.id == id { job.continuation.finish() }
      waiting.removeAll { $0.id == id }
      removeSequences(of: id)
      finish(id)
    case .drain(let instant):
      end = instant
      // What came just before has its place as well: its answer may have begun for who waits for it.
      if !isDeviceLost { admit() }
      for job in waiting { fail(job, .stopping) }
      waiting = []
    case .end(let id, let choice):
      for (sequence, answer) in answers where answer == (id, choice) {
        decoder.remove(sequence)
        answers[sequence] = nil
        countDown(id)
      }
    }
  }

  /// Takes jobs up in the order of their coming, while there is room for all their answers.
  private mutating func admit() {
    while let job = waiting.first,
      decoder.count == 0 || decoder.count + job.answerCount <= maxConcurrency
    {
      waiting.removeFirst()
      running[job.id] = job
      remaining[job.id] = job.answerCount
      for (index, request) in job.requests.enumerated() {
        for (offset, sequence) in decoder.add(request, count: job.answersPerPrompt).enumerated() {
          answers[sequence] = (job.id, index * job.answersPerPrompt + offset)
        }
      }
    }
  }

  private mutating func expire() {
    let now = ContinuousClock.now
    for job in waiting where job.deadline <= now {
      waiting.removeAll { $0.id == job.id }
      fail(job, .timeout)
    }
    for job in running.values where job.deadline <= now { fail(job, .timeout) }
    if let end, end <= now { for job in running.values { fail(job, .stopping) } }
  }

  private mutating func deliver(_ token: DecodedToken) {
    guard let answer = answers[token.sequence], let job = running[answer.job] else { return }
    if token.end == .notFinite {
      fail(job, .server(DeviceError.notFinite.description))
      return
    }
    metrics.countToken()
    job.continuation.yield(.token(choice: answer.choice, token))
    if token.end != nil {
      answers[token.sequence] = nil
      countDown(answer.job)
    }
  }

  private mutating func countDown(_ id: Int) {
    guard let count = remaining[id] else { return }
    remaining[id] = count - 1
    if count == 1 { finish(id) }
  }

  private mutating func fail(_ job: EngineJob, _ error: APIError) {
    job.continuation.yield(.failed(error))
    removeSequences(of: job.id)
    job.continuation.finish()
    finish(job.id)
  }

  private mutating func removeSequences(of id: Int) {
    for (sequence, answer) in answers where answer.job == id {
      decoder.remove(sequence)
      answers[sequence] = nil
    }
  }

  private mutating func finish(_ id: Int) {
    running.removeValue(forKey: id)?.continuation.finish()
    remaining[id] = nil
    didEnd(id)
  }
}
