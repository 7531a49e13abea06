// The record of one forward pass: nodes in the order of execution, walked backwards once.
// There is no graph search and no table of gradients: a node's inputs come before it, and gradients live in an
// array beside the nodes that is emptied while walking.

import Synchronization
public import Tensor

/// Records differentiable operations and computes gradients. A tape is used for one forward and one backward pass.
public final class Tape {
  /// Whether operations are recorded.
  public enum Mode: Sendable {
    /// Every operation whose inputs need a gradient is kept for `backward`.
    case recording
    /// As `recording`, but what a ``Deferrable`` operation gives is computed when it is first read: nobody reads the end
    /// of a block that is run again for its gradients.
    case replaying
    /// Nothing is kept: the same model code serves evaluation and generation.
    case inference
  }

  /// What backward does at a node.
  private enum Node {
    case parameter(Parameter)
    case input
    case operation(
      inputs: [Int32], needs: GradientMask, backward: Backward)
  }

  /// The rule of one node with what it kept; it can be called once.
  private typealias Backward = (consuming Tensor, inout InputGradients) -> Void

  /// Whether operations are recorded.
  public let mode: Mode
  /// Seed and use count of the random numbers drawn on this tape (dropout), nil to draw none.
  public let randomness: Randomness?
  /// What a block keeps of its first run, which is in inference, for its second one, which is replaying; nil where that is nothing.
  let products: KeptProducts?
  /// What modules keep for further passes on this tape, in inference; each under its own identity.
  package var kept: [ObjectIdentifier: Any] = [:]
  /// Whether passes are neither recorded nor, as those of blocks, run a second time.
  package var isForgetful: Bool { mode == .inference && !isOfBlock }
  private let isOfBlock: Bool
  /// Names of the recorded operations.
  public private(set) var operationNames: Set<String> = []

  /// Tells tapes apart; never reused.
  package let id: UInt64
  private var nodes: [Node] = []
  private var wasWalked = false
  private var inputGradients: [Int32: Tensor] = [:]
  private static let counter = Atomic<UInt64>(0)

  /// An empty tape. Without `randomness` dropout does nothing.
  public convenience init(mode: Mode = .recording, randomness: Randomness? = nil) {
    self.init(mode: mode, randomness: randomness, products: nil, isOfBlock: false)
  }

  /// A tape for the first or the second run of a block, which may keep products.
  init(mode: Mode, randomness: Randomness?, products: KeptProducts?, isOfBlock: Bool = true) {
    self.mode = mode
    self.isOfBlock = isOfBlock
    self.randomness = randomness
    self.products = products
    id = Tape.counter.wrappingAdd(1, ordering: .relaxed).newValue
  }

  /// Number of nodes recorded.
  public var nodeCount: Int { nodes.count }

  /// A value that never needs a gradient.
  public func constant(_ tensor: Tensor) -> Variable {
    Variable(value: tensor, tape: self, node: -1)
  }

  /// A value whose gradient can be asked for after `backward`. Always a constant in inference.
  public func input(_ tensor: Tensor) -> Variable {
    guard mode != .inference else { return constant(tensor) }
    append(.input)
    return Variable(value: tensor, tape: self, node: Int32(nodes.count - 1))
  }

  /// The variable of a parameter: a constant when it is frozen, one leaf per tape when it is trained.
  public func leaf(_ parameter: Parameter) -> Variable {
    guard mode != .inference, parameter.isTrainable else { return constant(parameter.value) }
    if parameter.leaf.tape != id {
      append(.parameter(parameter))
      parameter.leaf = (id, Int32(nodes.count - 1))
    }
    return Variable(value: parameter.value, tape: self, node: parameter.leaf.node)
  }

  /// Runs an operation and keeps it where an input needs a gradient (or `always`).
  package func record<P: Primitive>(
    _ primitive: P, _ inputs: [Variable], always: Bool = false
  ) -> Variable {
    let needs = needs(of: inputs, for: P.name)
    let (output, residuals) = primitive.forward(inputs.map { $0.read() }, needs: needs)
    guard mode != .inference, always || !needs.isEmpty else { return constant(output) }
    return append(primitive, inputs, needs, output, residuals)
  }

  private func append<P: Primitive>(
    _ primitive: P, _ inputs: [Variable], _ needs: GradientMask, _ output: Tensor,
    _ residuals: P.Residuals
  ) -> Variable {
    // The rule takes its residuals out, so that it alone holds them.
    var kept = Optional(residuals)
    append(primitive, inputs, needs) {
      guard let residuals = kept.take() else {
        preconditionFailure("backward: \(P.name) has been walked already")
      }
      return residuals
    }
    return Variable(value: output, tape: self, node: Int32(nodes.count - 1))
  }

  /// The same for an operation that can wait: on a replaying tape it does, or comes from the first run.
  package func record<P: Deferrable>(_ primitive: P, _ inputs: [Variable]) -> Variable {
    let needs = needs(of: inputs, for: P.name)
    let place = products?.next()
    if mode == .inference, let products, let place {
      // Kept if an operation reads it that is run again.
      let (output, _) = primitive.forward(inputs.map(\.value), needs: needs)
      return Variable(value: output, tape: self, keptAt: place, in: products)
    }
    let kept = place.flatMap { products?.take(at: $0)?.first }
    if let kept {
      precondition(
        kept.shape == primitive.outputShape(inputs.map(\.shape)) && kept.dtype == inputs[0].dtype,
        "\(P.name): the second run of a block is not that of the first")
    }
    guard mode == .replaying, !needs.isEmpty else {
      return kept.map(constant) ?? record(primitive, inputs, always: false)
    }
    let output = DeferredOutput(primitive, inputs, needs: needs, output: kept)
    let residuals = output.residuals
    append(primitive, inputs, needs) { residuals.take() }
    return Variable(
      deferred: output, shape: primitive.outputShape(inputs.map(\.shape)), dtype: inputs[0].dtype,
      tape: self, node: Int32(nodes.count - 1))
  }

  /// The same for an operation that a block which keeps products runs once.
  package func record<P: Recallable>(_ primitive: P, _ inputs: [Variable]) -> Variable {
    guard let products else { return record(primitive, inputs, always: false) }
    let needs = needs(of: inputs, for: P.name)
    let place = products.next()
    if mode == .inference {
      let (output, residuals) = primitive.forward(inputs.map { $0.read() }, needs: needs)
      products.keep(primitive.kept(output, residuals), at: place)
      return constant(output)
    }
    guard let kept = products.take(at: place), let output = kept.first else {
      return record(primitive, inputs, always: false)
    }
    if needs.isEmpty { return constant(output) }
    let residuals = primitive.residuals(inputs.map(\.value), kept: kept)
    return append(primitive, inputs, needs, output, residuals)
  }

  private func needs(of inputs: [Variable], for name: String) -> GradientMask {
    var needs = GradientMask()
    for (index, input) in inputs.enumerated() {
      precondition(input.tape === self, "\(name): an input is of another tape")
      needs[index] = input.needsGradient
    }
    return needs
  }

  private func append<P: Primitive>(
    _ primitive: P, _ inputs: [Variable], _ needs: GradientMask,
    residuals: @escaping () -> P.Residuals
  ) {
    operationNames.insert(P.name)
    append(
      .operation(inputs: inputs.map(\.node), needs: needs) { dy, gradients in
        primitive.backward(dy, residuals(), into: &gradients)
      })
  }

  private func append(_ node: Node) {
    precondition(!wasWalked, "tape: backward has been called, nothing more can be recorded")
    nodes.append(node)
  }

  /// Adds the gradients of `output` to `Parameter.gradient` and to those of the inputs.
  ///
  /// `seed` is the gradient of `output` itself; 1 when left out, for a scalar. Walks nodes last to first and frees
  /// what they kept on the way. A tape can be walked once.
  public func backward(from output: consuming Variable, seed: consuming Tensor? = nil) {
    let (isOwn, last) = (output.tape === self, Int(output.node))
    let (shape, dtype) = (output.shape, output.dtype)
    precondition(isOwn, "backward: the variable is of another tape")
    guard last >= 0 else { return }
    precondition(!wasWalked, "backward: the tape has been walked already")
    wasWalked = true
    var first = seed
    let startsFromOne = first == nil
    precondition(first != nil || shape.count == 1, "backward: \(shape) needs a seed")
    if first == nil { first = Tensor.ones(like: output.value) }
    // Nothing needs the output itself any more.
    _ = consume output
    if let first {
      precondition(
        first.shape == shape && first.dtype == dtype,
        "backward: seed \(first.shape) \(first.dtype.rawValue) for \(shape) \(dtype.rawValue)")
    }
    var gradients = [Tensor?](repeating: nil, count: last + 1)
    gradients[last] = first.take()
    nodes.removeSubrange((last + 1)...)
    while let node = nodes.popLast() {
      let index = nodes.count
      guard let dy = gradients.popLast().flatMap({ $0 }) else { continue }
      switch node {
      case .parameter(let parameter):
        add(dy, to: parameter)
      case .input:
        inputGradients[Int32(index)] = dy
      case .operation(let inputs, let needs, let backward):
        walk(
          consume dy, inputs, needs, backward, &gradients,
          startsFromOne: startsFromOne && index == last)
      }
    }
  }

  /// The gradient of an `input` after `backward`; nil when the output does not depend on it.
  public func gradient(of input: Variable) -> Tensor? { inputGradients[input.node] }

  private func walk(
    _ dy: consuming Tensor, _ inputs: [Int32], _ needs: GradientMask, _ backward: Backward,
    _ gradients: inout [Tensor?], startsFromOne: Bool
  ) {
    // Slots are taken out of their places, so that each sum has one holder and grows in place.
    var slots = [Tensor?](repeating: nil, count: inputs.count)
    for (i, node) in inputs.enumerated() where needs[i] {
      if case .parameter(let parameter) = nodes[Int(node)] {
        slots[i] = parameter.gradient.take()
      } else {
        slots[i] = gradients[Int(node)].take()
      }
    }
    var sums = InputGradients(needs: needs, slots: slots, startsFromOne: startsFromOne)
    slots = []
    backward(dy, &sums)
    for (i, node) in inputs.enumerated() where needs[i] {
      guard let sum = sums.take(i) else { continue }
      if case .parameter(let parameter) = nodes[Int(node)] {
        add(sum, to: parameter)
      } else if gradients[Int(node)] == nil {
        gradients[Int(node)] = sum
      } else {
        gradients[Int(node)]?.accumulate(sum)
      }
    }
  }

  private func add(_ gradient: Tensor, to parameter: Parameter) {
    if parameter.gradient == nil {
      parameter.gradient = gradient.cast(to: parameter.value.dtype.accumulation)
    } else {
      parameter.gradient?.accumulate(gradient)
    }
  }
}

/// Where the random numbers of a tape come from: replaying a block with the same value draws the same numbers.
public struct Randomness: Sendable, Hashable {
  /// The user's seed.
  public var seed: UInt64
  /// Counts forward passes: another value gives other numbers.
  public var pass: Int

  /// Numbers of pass `pass` under `seed`.
  public init(seed: UInt64, pass: Int) {
    self.seed = seed
    self.pass = pass
  }

  /// The numbers for noise on the embeddings.
  package var embeddingNoise: RandomStream {
    RandomStream(seed: seed, purpose: .noise, offset: pass)
  }

  /// The numbers of module `index` for dropout.
  package func dropout(module index: Int) -> RandomStream {
    RandomStream(seed: seed, purpose: .dropout, index: index, offset: pass)
  }
}
