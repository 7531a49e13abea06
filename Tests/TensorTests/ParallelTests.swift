// The threads of kernels: every task once, products within parallel regions, and several callers at a time.

import Glibc
import Synchronization
import Tensor
import TensorTestSupport
import Testing

@Suite("Parallel regions")
struct ParallelTests {
  @Test("every task runs once, on a worker below the number of workers", arguments: [1, 2, 5])
  func tasks(workers: Int) {
    let counts = Mutex([Int](repeating: 0, count: 1000))
    let largest = Mutex(0)
    parallelTasks(1000, workers: workers) { task, worker in
      counts.withLock { $0[task] += 1 }
      largest.withLock { $0 = max($0, worker) }
    }
    #expect(counts.withLock { $0 } == [Int](repeating: 1, count: 1000))
    #expect(largest.withLock { $0 } < workers)
  }

  @Test(
    "regions of few and of many tasks run on the same threads",
    .enabled(if: MatrixProducts.threadLibrary == "libgomp", "Dispatch chooses its threads"))
  func sameThreads() async {
    // In a process of its own: the count is one for the process.
    await #expect(processExitsWith: .success) {
      Workers.count = 4
      // Numbers of the system: addresses of threads are used again. It has no declaration in Swift.
      guard let symbol = dlsym(nil, "gettid") else { preconditionFailure("no gettid") }
      let threadID = unsafeBitCast(symbol, to: (@convention(c) () -> Int32).self)
      func threads(_ count: Int) -> Set<Int32> {
        let ids = Mutex(Set<Int32>())
        parallelTasks(count) { _, _ in
          let id = threadID()
          ids.withLock { _ = $0.insert(id) }
          usleep(2000)
        }
        return ids.withLock { $0 }
      }
      let all = threads(64)
      var later: Set<Int32> = []
      for count in [2, 64, 3, 2, 64, 4] { later.formUnion(threads(count)) }
      precondition(all.count == 4 && later == all, "\(all) \(later)")
    }
  }

  @Test("a region within a region runs all of its tasks")
  func nested() {
    let sum = Atomic<Int>(0)
    parallelTasks(4, workers: 2) { _, _ in
      parallelTasks(10, workers: 2) { task, _ in sum.wrappingAdd(task, ordering: .relaxed) }
    }
    #expect(sum.load(ordering: .relaxed) == 4 * 45)
  }

  @Test("a product within a region equals the one outside", arguments: [DType.float32, .bfloat16])
  func productWithinRegion(dtype: DType) throws {
    let a = OpInput.normal([130, 96]).tensor(dtype, index: 0, on: .cpu)
    let b = OpInput.normal([70, 96]).tensor(dtype, index: 1, on: .cpu)
    let expected = try Tensor.matmul(a, b, transposeB: true).doubles()
    let results = Mutex([Int: Tensor]())
    parallelTasks(6, workers: 2) { task, _ in
      let product = Tensor.matmul(a, b, transposeB: true)
      results.withLock { $0[task] = product }
    }
    let tolerance = dtype == .bfloat16 ? 0x1p-7 : 1e-5
    let found = results.withLock { $0 }
    #expect(found.count == 6)
    for product in found.values {
      for (x, y) in zip(try product.doubles(), expected) {
        #expect(abs(x - y) <= tolerance * max(1, abs(y)))
      }
    }
  }
}
