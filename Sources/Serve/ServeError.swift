// Why a server does not start or does not go on. What a client does wrong is an APIError.

/// A server that cannot serve.
public enum ServeError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The address cannot be listened on.
  case cannotListen(host: String, port: Int, problem: String)
  /// Two models of one name.
  case duplicateModel(name: String)
  /// An adapter that cannot share its base with others.
  case unsharedBase(name: String, initialization: String)
  /// The thread that decodes has failed.
  case engine(problem: String)

  /// What is wrong, in one line.
  public var description: String {
    switch self {
    case .cannotListen(let host, let port, let problem):
      "cannot listen on \(host):\(port): \(problem) (is another server there? choose another --port)"
    case .duplicateModel(let name):
      "two models are named \(name) (give adapters names of their own: --adapter NAME=DIR)"
    case .unsharedBase(let name, let initialization):
      "adapter \(name) begins with \(initialization), which changes the base weights that all models share "
        + "(save it with PEFT's path_initial_model_for_weight_conversion; train writes it so)"
    case .engine(let problem): problem
    }
  }
}
