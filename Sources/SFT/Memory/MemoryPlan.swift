// What a run will take, by part. The numbers come from a rehearsal.

public import QwenModel

/// The memory of a run at its peak.
public struct MemoryPlan: Sendable {
  /// What memory is for.
  public enum Part: String, Sendable, CaseIterable {
    /// The embedding, and the head where it is a matrix of its own.
    case embedding, head
    /// The weights of the blocks: linear maps, and norms with biases.
    case linear, norms
    /// The trained adapter.
    case adapter
    /// Gradients of what is trained.
    case gradients
    /// The optimizer's state.
    case optimizer
    /// What the blocks keep between forward and backward of the largest micro-batch.
    case activations
    /// The most that is needed for a moment beside these: for head and loss, or for the backward pass of a block.
    case workspace
    /// Buffers that wait for the next micro-batch, which may have another length, and what rounding their sizes costs.
    case pool
    /// The largest tensor, copied when a checkpoint is written.
    case saving
    /// Whatever loading takes beyond the peak of training.
    case loading
    /// The program with tokenizer and data.
    case program
    /// Working memory of the libraries that multiply matrices.
    case libraries
  }

  /// The parts that take something, in bytes. Their sum is the peak.
  public internal(set) var parts: [(part: Part, byteCount: Int)]
  /// Bytes needed for head and loss, and for backward of the blocks: the larger of the two is the workspace.
  public internal(set) var headByteCount, backwardByteCount: Int
  /// What blocks keep in the largest micro-batch.
  public internal(set) var checkpointing: Checkpointing
  /// Tokens and trained tokens of the largest micro-batch.
  public internal(set) var largestTokens, largestTrained: Int
  /// What blocks keep in micro-batches of other sizes.
  package internal(set) var choices: [BatchSize: Checkpointing] = [:]
  /// Numbers of the model, and those that are trained.
  public internal(set) var parameterCount, trainedParameterCount: Int
  /// Trained numbers whose moments are in 8 bits.
  package internal(set) var trained8BitParameterCount: Int

  /// The largest resident set, in bytes.
  public var peakByteCount: Int { parts.reduce(0) { $0 + $1.byteCount } }

  /// What the blocks keep in a micro-batch of `size`.
  package func checkpointing(for size: BatchSize) -> Checkpointing {
    choices[size.rounded] ?? checkpointing
  }

  /// Bytes of one part; 0 where it takes nothing.
  public subscript(part: Part) -> Int {
    parts.reduce(0) { $0 + ($1.part == part ? $1.byteCount : 0) }
  }
}
