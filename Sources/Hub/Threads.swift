// Threads that wait for the network most of the time. Dispatch's pool would count them against the processors and
// start them late.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Threads of our own.
package enum Threads {
  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  #if canImport(Darwin)
    private typealias Number = pthread_t?
  #else
    private typealias Number = pthread_t
  #endif

  /// Runs `body` on `count` threads at once and returns when all are done. Where the system has no more threads to
  /// give, fewer do the work, the calling one if need be.
  package static func run(_ count: Int, _ body: @escaping @Sendable () -> Void) {
    var numbers: [Number] = []
    for _ in 0..<count {
      if let number = start(body) { numbers.append(number) }
    }
    if numbers.isEmpty, count > 0 { body() }
    for number in numbers {
      #if canImport(Darwin)
        if let number { pthread_join(number, nil) }
      #else
        pthread_join(number, nil)
      #endif
    }
  }

  /// Runs `body` on a thread that nobody waits for; false where the system has none to give.
  package static func detach(_ body: @escaping @Sendable () -> Void) -> Bool {
    guard let number = start(body) else { return false }
    #if canImport(Darwin)
      if let number { pthread_detach(number) }
    #else
      pthread_detach(number)
    #endif
    return true
  }

  private static func start(_ body: @escaping @Sendable () -> Void) -> Number? {
    #if canImport(Darwin)
      var number: Number = nil
    #else
      var number: Number = 0
    #endif
    // Signals are for the main thread.
    var (all, earlier) = (sigset_t(), sigset_t())
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, &earlier)
    defer { pthread_sigmask(SIG_SETMASK, &earlier, nil) }
    // Safety: the thread takes over the one reference that is handed to it.
    let work = Unmanaged.passRetained(Work(body))
    let code = pthread_create(
      &number, nil,
      { context in
        #if canImport(Darwin)
          Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body()
        #else
          if let context { Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body() }
        #endif
        return nil
      }, work.toOpaque())
    guard code == 0 else {
      work.release()
      return nil
    }
    return number
  }
}
