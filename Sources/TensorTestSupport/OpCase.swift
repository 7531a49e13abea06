// One operation with inputs, an oracle and costs. The table is used four times: against the oracle, device against
// device, for gradient checks, and by the benchmark.

package import Autograd
package import Tensor

/// An input of an operation: its shape, where its numbers come from, and what it is to the operation.
package struct OpInput: Sendable {
  /// Where the numbers come from.
  package enum Source: Sendable {
    case normal(mean: Double, standardDeviation: Double)
    case uniform(Range<Double>)
    case given([Double])
  }

  /// What the input is to the operation.
  package enum Role: Sendable {
    /// A float of the case's type; gradient checks differentiate by it.
    case differentiated
    /// A float of the case's type.
    case constant
    /// A float of the accumulation type of the case's type.
    case statistic
    /// int32.
    case index
  }

  package var shape: Shape
  package var source: Source
  package var role: Role

  package static func normal(
    _ shape: Shape, mean: Double = 0, deviation: Double = 1, _ role: Role = .differentiated
  ) -> OpInput {
    OpInput(
      shape: shape, source: .normal(mean: mean, standardDeviation: deviation), role: role)
  }

  package static func uniform(
    _ shape: Shape, _ range: Range<Double> = -1..<1, _ role: Role = .differentiated
  ) -> OpInput {
    OpInput(shape: shape, source: .uniform(range), role: role)
  }

  package static func given(_ array: HostArray, _ role: Role = .constant) -> OpInput {
    OpInput(shape: array.shape, source: .given(array.elements), role: role)
  }

  package static func indices(_ values: [Int]) -> OpInput {
    OpInput(shape: [values.count], source: .given(values.map { Double($0) }), role: .index)
  }

  /// The input for a case of type `dtype`; `index` tells inputs of a case apart.
  package func tensor(_ dtype: DType, index: Int, on device: Device) -> Tensor {
    let type: DType =
      switch role {
      case .differentiated, .constant: dtype
      case .statistic: dtype.accumulation
      case .index: .int32
      }
    let stream = RandomStream(seed: 20_250_101, purpose: .test, index: index)
    switch source {
    case .normal(let mean, let deviation):
      return .normal(
        shape, mean: mean, standardDeviation: deviation, dtype: type, stream: stream, on: device)
    case .uniform(let range):
      return .uniform(
        shape, low: range.lowerBound, high: range.upperBound, dtype: type, stream: stream,
        on: device)
    case .given(let values):
      if type == .int32 { return Tensor(values.map { Int32($0) }, shape: shape, on: device) }
      return Tensor(values, shape: shape, on: device).cast(to: type)
    }
  }
}

/// An operation, what it is run on, what it should give, and what it costs.
package struct OpCase: Sendable, CustomStringConvertible {
  /// A function of variables, for cases that have a gradient.
  package typealias Function = @Sendable (Tape, [Variable]) -> Variable
  /// A function of tensors.
  package typealias Kernel = @Sendable ([Tensor]) -> [Tensor]
  /// A change of tensors in place. The elements of the array are the only holders of their storage.
  package typealias Update = @Sendable (inout [Tensor]) -> Void
  /// The same, naively, in Double.
  package typealias Oracle = @Sendable ([HostArray]) -> [HostArray]

  /// What is computed and at which sizes, such as "rms_norm [17, 33]".
  package let name: String
  package let inputs: [OpInput]
  /// Element types that the operation takes.
  package var dtypes: [DType]
  /// Names of the primitives that `function` records; empty for plain kernels.
  package let operations: Set<String>
  /// The operation on a tape; nil for plain kernels.
  package let function: Function?
  /// The operation on tensors.
  package let kernel: Kernel
  /// The operation as it is done in place, for the benchmark: `kernel` works on copies. Nil where nothing is in place.
  package var update: Update?
  package let oracle: Oracle
  /// Size of the terms that cancel in a result, where it is not the size of the result.
  package var termSize = 0.0
  /// How often a value on the way to a result is rounded to the element type: 1 for kernels that compute in float32
  /// and round their results, more where products take what was rounded before.
  package var roundings = 1
  /// Floating-point operations, by the usual count of the mathematics (2·m·n·k of a product); 0 when memory is the limit.
  package var flops: Double
  /// Elements of the case's type that must be read and written.
  package var elementTraffic: Double

  /// A case without a gradient.
  package init(
    _ name: String, _ inputs: [OpInput], dtypes: [DType] = [.float32, .float64, .bfloat16],
    termSize: Double = 0, roundings: Int = 1, flops: Double = 0, elementTraffic: Double = 0,
    kernel: @escaping Kernel, oracle: @escaping Oracle
  ) {
    self.termSize = termSize
    self.roundings = roundings
    self.name = name
    self.inputs = inputs
    self.dtypes = dtypes
    operations = []
    function = nil
    self.kernel = kernel
    self.oracle = oracle
    self.flops = flops
    self.elementTraffic = elementTraffic
  }

  /// A case with a gradient: `operations` are the primitives that `function` records.
  package init(
    _ name: String, _ inputs: [OpInput], operations: Set<String>,
    dtypes: [DType] = [.float32, .float64], flops: Double = 0, elementTraffic: Double = 0,
    function: @escaping Function, oracle: @escaping Oracle
  ) {
    self.name = name
    self.inputs = inputs
    self.dtypes = dtypes
    self.operations = operations
    self.function = function
    kernel = { tensors in
      let tape = Tape(mode: .inference)
      return [function(tape, tensors.map { tape.constant($0) }).value]
    }
    self.oracle = oracle
    self.flops = flops
    self.elementTraffic = elementTraffic
  }

  /// A case that changes the inputs `results` in place.
  package init(
    _ name: String, _ inputs: [OpInput], dtypes: [DType] = [.float32, .float64, .bfloat16],
    elementTraffic: Double, changing results: [Int], update: @escaping Update,
    oracle: @escaping Oracle
  ) {
    self.init(name, inputs, dtypes: dtypes, elementTraffic: elementTraffic) { tensors in
      var changed = tensors
      update(&changed)
      return results.map { changed[$0] }
    } oracle: {
      oracle($0)
    }
    self.update = update
  }

  package var description: String { name }

  /// The inputs as tensors.
  package func tensors(_ dtype: DType, on device: Device = .cpu) -> [Tensor] {
    inputs.enumerated().map { $1.tensor(dtype, index: $0, on: device) }
  }

  /// Runs the operation on a device and compares every result with the oracle.
  package func verify(_ dtype: DType, on device: Device = .cpu) throws {
    let tensors = tensors(dtype, on: device)
    let before = try tensors.map { try HostArray($0) }
    let expected = oracle(before)
    poison(expected.map(\.shape), dtype, on: device)
    let results = kernel(tensors)
    guard results.count == expected.count else {
      throw OpCaseFailure(name: name, dtype: dtype, detail: "\(results.count) results")
    }
    for (index, (result, expected)) in zip(results, expected).enumerated() {
      let tolerance = Tolerance.of(lowest(result.dtype, dtype), roundings: roundings)
      if let violation = tolerance.violation(
        actual: try HostArray(result), expected: expected, termSize: termSize)
      {
        throw OpCaseFailure(name: name, dtype: dtype, detail: "result \(index), \(violation)")
      }
    }
    for (index, tensor) in tensors.enumerated() {
      let after = try HostArray(tensor).elements
      guard zip(before[index].elements, after).allSatisfy({ $0 == $1 || ($0.isNaN && $1.isNaN) })
      else { throw OpCaseFailure(name: name, dtype: dtype, detail: "input \(index) was changed") }
    }
  }

  /// Leaves buffers full of NaN in the pool, for kernels that read what they should write.
  private func poison(_ shapes: [Shape], _ dtype: DType, on device: Device) {
    let types = [dtype, dtype.accumulation]
    let buffers = shapes.flatMap { shape in
      types.map { Tensor.full(shape, .nan, dtype: $0, on: device) }
    }
    withExtendedLifetime(buffers) {}
  }

  /// A result is as exact as its type and the arithmetic behind it, which is float32 for all inputs but float64.
  private func lowest(_ result: DType, _ input: DType) -> DType {
    result == .float64 && input != .float64 ? .float32 : result
  }
}

/// A case that does not agree with its oracle.
package struct OpCaseFailure: Error, CustomStringConvertible {
  package let name: String
  package let dtype: DType
  package let detail: String

  package var description: String { "\(name) in \(dtype.rawValue): \(detail)" }
}

extension GradCheck {
  /// Checks the gradients of a differentiable case in float64 by every input that it differentiates.
  ///
  /// Fails as well when the function records primitives other than those the case names.
  package func verify(_ op: OpCase, on device: Device = .cpu) throws {
    guard let function = op.function else {
      throw OpCaseFailure(name: op.name, dtype: .float64, detail: "has no gradient to check")
    }
    let tensors = op.tensors(.float64, on: device)
    let isVariable = op.inputs.map { if case .differentiated = $0.role { true } else { false } }
    func inputs(_ tape: Tape, _ variables: [Variable]) -> [Variable] {
      var rest = variables[...]
      return tensors.indices.map {
        isVariable[$0] ? rest.removeFirst() : tape.constant(tensors[$0])
      }
    }
    let tape = Tape()
    _ = function(tape, inputs(tape, zip(tensors, isVariable).filter(\.1).map { tape.input($0.0) }))
    guard tape.operationNames == op.operations else {
      throw OpCaseFailure(
        name: op.name, dtype: .float64,
        detail: "records \(tape.operationNames.sorted()), declares \(op.operations.sorted())")
    }
    do {
      try verify(zip(tensors, isVariable).filter(\.1).map(\.0)) { function($0, inputs($0, $1)) }
    } catch {
      throw OpCaseFailure(name: op.name, dtype: .float64, detail: error.description)
    }
  }
}
