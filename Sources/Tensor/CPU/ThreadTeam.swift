// The threads of kernels. Two pools of threads that wait spinning take each other's processors, so where oneDNN is in
// use everything runs on the threads that it runs on, those of libgomp; else on Dispatch's.

import Dispatch
import Glibc

/// The threads that CPU kernels share with the matrix products.
enum ThreadTeam {
  /// The entry points of libgomp that are used. They are its stable binary interface; there are no headers for them.
  private struct OpenMP: Sendable {
    typealias Body = @convention(c) (UnsafeMutableRawPointer?) -> Void
    let threadLimit: Int
    let parallel:
      @convention(c) (Body, UnsafeMutableRawPointer?, CUnsignedInt, CUnsignedInt) -> Void
    let setThreadCount: @convention(c) (CInt) -> Void
    let isInParallel: @convention(c) () -> CInt
    let threadNumber: @convention(c) () -> CInt
  }

  /// libgomp, where oneDNN has brought it into the process.
  private static let openMP: OpenMP? = {
    #if OneDNN
      guard let process = dlopen(nil, RTLD_LAZY), let parallel = dlsym(process, "GOMP_parallel"),
        let setThreadCount = dlsym(process, "omp_set_num_threads"),
        let setDynamic = dlsym(process, "omp_set_dynamic"),
        let threadLimit = dlsym(process, "omp_get_thread_limit"),
        let isInParallel = dlsym(process, "omp_in_parallel"),
        let threadNumber = dlsym(process, "omp_get_thread_num")
      else { return nil }
      // Kernels split their work among as many threads as they ask for. OMP_DYNAMIC in the environment would give them
      // fewer, and OMP_THREAD_LIMIT does.
      unsafeBitCast(setDynamic, to: (@convention(c) (CInt) -> Void).self)(0)
      let limit = unsafeBitCast(threadLimit, to: (@convention(c) () -> CInt).self)()
      return OpenMP(
        threadLimit: max(1, Int(limit)),
        parallel: unsafeBitCast(
          parallel,
          to: (@convention(c) (OpenMP.Body, UnsafeMutableRawPointer?, CUnsignedInt, CUnsignedInt) ->
            Void).self),
        setThreadCount: unsafeBitCast(
          setThreadCount, to: (@convention(c) (CInt) -> Void).self),
        isInParallel: unsafeBitCast(isInParallel, to: (@convention(c) () -> CInt).self),
        threadNumber: unsafeBitCast(threadNumber, to: (@convention(c) () -> CInt).self))
    #else
      return nil
    #endif
  }()

  /// Name of the library whose threads are used.
  static var name: String { openMP == nil ? "Dispatch" : "libgomp" }

  /// How many threads a kernel that is called here may use: one within a parallel region.
  static var usableThreadCount: Int {
    guard let openMP else { return Workers.count }
    return openMP.isInParallel() != 0 ? 1 : min(Workers.count, openMP.threadLimit)
  }

  /// Says how many threads the next product of the calling thread may use.
  static func setThreadCount(_ count: Int) { openMP?.setThreadCount(CInt(count)) }

  /// Calls `body` once on each of `count` threads at the same time, with numbers from 0.
  ///
  /// libgomp ends threads that a region does not need, and makes new ones for the next that does: so every region has all of them.
  static func run(_ count: Int, _ body: (_ worker: Int) -> Void) {
    guard let openMP else {
      withoutActuallyEscaping(body) { body in
        // Bodies write disjoint memory by contract; the compiler cannot see that.
        nonisolated(unsafe) let body = body
        DispatchQueue.concurrentPerform(iterations: count) { body($0) }
      }
      return
    }
    if openMP.isInParallel() != 0 {
      // A region within a region has one thread.
      for worker in 0..<count { body(worker) }
      return
    }
    withoutActuallyEscaping(body) { body in
      var context = (count: count, body: body)
      withUnsafeMutablePointer(to: &context) { context in
        openMP.parallel(
          { raw in
            guard let raw, let number = ThreadTeam.openMP?.threadNumber() else { return }
            let context = raw.assumingMemoryBound(to: (count: Int, body: (Int) -> Void).self)
            if Int(number) < context.pointee.count { context.pointee.body(Int(number)) }
          }, context, CUnsignedInt(max(count, min(Workers.count, openMP.threadLimit))), 0)
      }
    }
  }
}
