// The kernels in C for instruction sets below the best one of this processor, each in a process of its own.

import CKernels
import Tensor
import TensorTestSupport
import Testing

@Suite("Instruction sets")
struct InstructionSetTests {
  @Test("without vector instructions kernels agree with their oracles")
  func baseline() async {
    await #expect(processExitsWith: .success) { try InstructionSetTests.verify("baseline") }
  }

  @Test("with AVX2 kernels agree with their oracles", .enabled(if: has("avx2")))
  func avx2() async {
    await #expect(processExitsWith: .success) { try InstructionSetTests.verify("avx2") }
  }

  @Test("with AVX-512 kernels agree with their oracles", .enabled(if: has("avx512")))
  func avx512() async {
    await #expect(processExitsWith: .success) { try InstructionSetTests.verify("avx512") }
  }

  @Test(
    "with AVX-512's products of bfloat16 kernels agree with their oracles",
    .enabled(if: has("avx512_bf16")))
  func avx512BFloat16() async {
    await #expect(processExitsWith: .success) { try InstructionSetTests.verify("avx512_bf16") }
  }

  /// Whether this processor has `name` or more.
  private static func has(_ name: String) -> Bool {
    let names = ["baseline", "avx2", "avx512", "avx512_bf16"]
    let best = String(cString: ck_instruction_set())
    guard let wanted = names.firstIndex(of: name), let found = names.firstIndex(of: best) else {
      return false
    }
    return wanted <= found
  }

  /// All kernels of the table, products in blocks and of few rows, and screens, with the instruction set `name`.
  private static func verify(_ name: String) throws {
    // Made with the best one, since others make none.
    let pairs = try CompressionTests.pairs()
    precondition(pairs.count == (CompressionTests.isSupported ? CompressionTests.pairCount : 0))
    precondition(ck_limit_instruction_set(name) == 1)
    precondition(String(cString: ck_instruction_set()) == name)
    for op in OpCases.kernels {
      for dtype in op.dtypes where dtype != .float64 { try op.verify(dtype) }
    }
    for product in BlockedProductTests.cases {
      for type in [ck_type_f32, ck_type_bf16, ck_type_nf4, ck_type_nf4_bf16] {
        let excess = try BlockedProductTests.excess(product, type)
        precondition(excess < 1, "\(product), type \(type.rawValue)")
      }
    }
    for kind in FewRowsTests.Kind.allCases {
      for shape in FewRowsTests.shapes {
        for m in [1, 2, 3, 4, 6, 7, 8] {
          let (excess, sumExcess) = try FewRowsTests.excess(kind, shape, m)
          precondition(excess < 1 && sumExcess < 1, "\(kind) \(shape), \(m) rows")
          if kind == .float32 { continue }
          let narrowExcess = try FewRowsTests.narrowExcess(kind, shape, m)
          precondition(narrowExcess < 1, "\(kind) \(shape), \(m) rows in bfloat16")
        }
      }
    }
    for matrix in CompressionTests.Matrix.allCases where name != "baseline" {
      let comesBack = try CompressionTests.comesBack(matrix, 200, 640)
      precondition(comesBack, "\(matrix)")
    }
    for pair in pairs {
      for dtype in [DType.float32, .bfloat16] {
        let problem = try CompressionTests.problem(pair, dtype)
        precondition(problem == nil, problem ?? "")
      }
    }
    for w in ScreeningTests.magnitudes {
      for x in ScreeningTests.magnitudes {
        let excess = try ScreeningTests.largestExcess(columns: 129, w: w, x: x)
        precondition(excess <= 0, "rows of \(w), x of \(x)")
      }
    }
    for kind in [FewRowsTests.Kind.bfloat16, .compressed, .nestedNF4] {
      for rank in FewRowsTests.ranks {
        for dtype in [DType.float32, .bfloat16] {
          let excess = try FewRowsTests.lowRankExcess(kind, dtype, [70, 192], rank)
          precondition(excess < 1, "\(kind) \(dtype), rank \(rank)")
        }
      }
    }
    for dtype in [DType.float32, .bfloat16] {
      let w = Tensor(
        try ScreeningTests.Matrix.normal.numbers(65_537, 129), shape: [65_537, 129], on: .cpu
      ).cast(to: dtype)
      guard let screen = w.rowScreen() else { preconditionFailure("no screen") }
      for m in 1...4 {
        let found = try ScreeningTests.problem(screen, of: w, dtype, m: m, count: 5)
        precondition(found != nil && found?.problem == nil, "\(dtype), \(m) rows")
      }
    }
  }
}
