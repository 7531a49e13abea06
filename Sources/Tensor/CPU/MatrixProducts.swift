// Which libraries multiply matrices in this build, for reports.

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

  /// Whose threads run the kernels: "libgomp" or "Dispatch".
  package static var threadLibrary: String { ThreadTeam.name }
}
