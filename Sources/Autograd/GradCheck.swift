// Gradients against central differences, in float64. A plain sum as the loss would hide errors (softmax rows add up
// to 1), so the output is weighted by random numbers.

public import Tensor

/// Compares the gradients of a function on a tape with finite differences.
public struct GradCheck: Sendable {
  /// |analytic − numeric| ≤ absolute + relative·max(|analytic|, |numeric|).
  public var relativeTolerance: Double
  /// Allowed difference beside the relative one.
  public var absoluteTolerance: Double
  /// Half the distance of the two points of a difference.
  public var step: Double
  /// Inputs up to this size are checked element by element, larger ones along three random directions.
  public var elementLimit: Int
  /// Seeds the cotangent and the directions.
  public var seed: UInt64

  /// The project's tolerances: relative 1e-5, absolute 1e-7.
  public init(
    relativeTolerance: Double = 1e-5, absoluteTolerance: Double = 1e-7, step: Double = 1e-5,
    elementLimit: Int = 256, seed: UInt64 = 1
  ) {
    self.relativeTolerance = relativeTolerance
    self.absoluteTolerance = absoluteTolerance
    self.step = step
    self.elementLimit = elementLimit
    self.seed = seed
  }

  /// A gradient that differs.
  public struct Mismatch: Error, CustomStringConvertible {
    /// Which input, and which element or direction of it.
    public let input: Int
    /// The element or the direction.
    public let place: String
    /// What backward says.
    public let analytic: Double
    /// What differences of the function say.
    public let numeric: Double

    public var description: String {
      "gradient of input \(input) at \(place): backward gives \(analytic), differences give \(numeric)"
    }
  }

  /// A check that could not be made.
  public enum Failure: Error, CustomStringConvertible {
    /// The two derivatives differ.
    case mismatch(Mismatch)
    case noGradient(input: Int)
    /// The device failed.
    case device(DeviceError)

    public var description: String {
      switch self {
      case .mismatch(let mismatch): mismatch.description
      case .noGradient(let input): "input \(input) got no gradient"
      case .device(let error): error.description
      }
    }
  }

  /// Checks the gradients of all inputs (float64) of `function`, which must be deterministic.
  public func verify(_ inputs: [Tensor], _ function: (Tape, [Variable]) -> Variable) throws(Failure)
  {
    precondition(inputs.allSatisfy { $0.dtype == .float64 }, "GradCheck: inputs must be float64")
    let tape = Tape()
    let variables = inputs.map { tape.input($0) }
    let output = function(tape, variables)
    let device = Device(backend: output.value.backend, preferredComputeDType: .float64)
    let cotangent = Tensor.normal(
      output.shape, dtype: .float64, stream: RandomStream(seed: seed, purpose: .test), on: device)
    tape.backward(from: output, seed: cotangent)
    for (index, input) in inputs.enumerated() {
      guard let gradient = tape.gradient(of: variables[index]) else {
        throw .noGradient(input: index)
      }
      let analytic = try values(gradient)
      let base = try values(input)
      let weights = try values(cotangent)
      /// ⟨f(x + t·direction), cotangent⟩
      func loss(_ direction: [Double], _ t: Double) throws(Failure) -> Double {
        var moved = inputs
        moved[index] = Tensor(
          zip(base, direction).map { $0 + t * $1 }, shape: input.shape, on: device)
        let tape = Tape(mode: .inference)
        let y = try values(function(tape, moved.map { tape.constant($0) }).value)
        return zip(y, weights).reduce(0) { $0 + $1.0 * $1.1 }
      }
      for (place, direction) in try directions(input, index) {
        let numeric = try (loss(direction, step) - loss(direction, -step)) / (2 * step)
        let expected = zip(analytic, direction).reduce(0) { $0 + $1.0 * $1.1 }
        let tolerance =
          absoluteTolerance + relativeTolerance * max(numeric.magnitude, expected.magnitude)
        if !((numeric - expected).magnitude <= tolerance) {
          throw .mismatch(
            Mismatch(input: index, place: place, analytic: expected, numeric: numeric))
        }
      }
    }
  }

  private func directions(_ input: Tensor, _ index: Int) throws(Failure) -> [(String, [Double])] {
    if input.count <= elementLimit {
      return (0..<input.count).map { element in
        var direction = [Double](repeating: 0, count: input.count)
        direction[element] = 1
        return ("element \(element) of \(input.shape)", direction)
      }
    }
    var result: [(String, [Double])] = []
    for i in 0..<3 {
      let stream = RandomStream(seed: seed, purpose: .test, index: 1 + 3 * index + i)
      let direction = try values(Tensor.normal(input.shape, dtype: .float64, stream: stream))
      let norm = direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
      result.append(("random direction \(i) of \(input.shape)", direction.map { $0 / norm }))
    }
    return result
  }

  private func values(_ tensor: Tensor) throws(Failure) -> [Double] {
    do { return try tensor.doubles() } catch { throw .device(error) }
  }
}
