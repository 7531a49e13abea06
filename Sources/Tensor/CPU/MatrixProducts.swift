// Which libraries multiply matrices in this build, for reports.

import CKernels

/// The libraries behind matrix products.
package enum MatrixProducts {
  /// Version of oneDNN, nil in a build without it.
  package static var oneDNNVersion: String? {
    #if OneDNN
      OneDNN.version
    #else
      nil
    #endif
  }

  /// The best instruction set that oneDNN uses here, nil in a build without it.
  package static var oneDNNInstructionSet: String? {
    #if OneDNN
      OneDNN.instructionSet
    #else
      nil
    #endif
  }

  /// Whether products of this type go through kernels of this package. Their results do not depend on the number of threads; libraries
  /// cut the terms of a sum into parts by it.
  package static func areOwn(_ dtype: DType) -> Bool { BlockedProduct.isFastest(for: dtype) }

  /// Whether bfloat16 is multiplied as it is, so that attention rounds its probabilities to it; else they are float32.
  package static var multipliesBFloat16: Bool { BFloat16.isMultipliable }

  /// The instructions that kernels of this package use here, such as "avx512_bf16".
  package static var instructionSet: String { String(cString: ck_instruction_set()) }

  /// Whose threads run the kernels: "libgomp" or "Dispatch".
  package static var threadLibrary: String { ThreadTeam.name }
}
