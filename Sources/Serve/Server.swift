// The server as a whole: a model on its thread, the HTTP side in front of it, and an orderly end.

import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
public import QwenModel
public import SFT
import ServiceLifecycle
import Tokenizer
import UnixSignals

/// An OpenAI-compatible server for one base model and its adapters.
public struct Server: Sendable {
  /// What the thread that decodes has loaded.
  public struct Model {
    /// Decodes with the base model and the adapters of its routes.
    public let decoder: BatchDecoder
    /// Tokens that the model knows.
    public let vocabularySize: Int
    /// Tokens that the model was made for.
    public let maximumLength: Int
    /// Tokens that end an answer.
    public let stopIDs: Set<Int32>

    /// A loaded model.
    public init(
      decoder: BatchDecoder, vocabularySize: Int, maximumLength: Int, stopIDs: Set<Int32>
    ) {
      self.decoder = decoder
      self.vocabularySize = vocabularySize
      self.maximumLength = maximumLength
      self.stopIDs = stopIDs
    }
  }

  private let options: ServerOptions
  private let encoder: ConversationEncoder
  private let names: [String]
  private let defaults: SamplingOptions

  /// A server of the models `names`: the base, then the adapters in the order of their numbers. `defaults` hold where a
  /// request says nothing.
  ///
  /// - Throws: ``ServeError/duplicateModel(name:)``.
  public init(
    options: ServerOptions, encoder: ConversationEncoder, names: [String],
    defaults: SamplingOptions
  ) throws(ServeError) {
    for (index, name) in names.enumerated() where names[..<index].contains(name) {
      throw .duplicateModel(name: name)
    }
    self.options = options
    self.encoder = encoder
    self.names = names
    self.defaults = defaults
  }

  /// Loads the model by `load`, on the thread that decodes, and serves until a signal asks for the end. Running answers
  /// have the time of the options to end; then it returns.
  ///
  /// - Throws: ``ServeError/cannotListen(host:port:problem:)``, ``ServeError/engine(problem:)`` where the device fails, and
  ///   what `load` throws.
  ///
  /// `onListening` gets the port.
  public func run(
    load: @escaping @Sendable () throws -> Model, onListening: @escaping @Sendable (Int) -> Void
  ) async throws {
    let metrics = Metrics()
    let engine = Engine(
      maxConcurrency: options.maxConcurrency, maxQueue: options.maxQueue, metrics: metrics)
    let facts = try await engine.start {
      let model = try load()
      return (
        Engine.Resources(decoder: model.decoder),
        Facts(
          vocabulary: model.vocabularySize, maximumLength: model.maximumLength,
          stopIDs: model.stopIDs)
      )
    }
    defer { engine.stop() }
    try await serve(engine, facts, onListening)
  }

  /// What the HTTP side has to know of the model.
  private struct Facts: Sendable {
    let vocabulary, maximumLength: Int
    let stopIDs: Set<Int32>
  }

  private func serve(
    _ engine: Engine, _ facts: Facts, _ onListening: @escaping @Sendable (Int) -> Void
  ) async throws {
    let entries = names.enumerated().map { index, name in
      ServedModels.Entry(name: name, adapter: index == 0 ? nil : index - 1)
    }
    let reader = RequestReader(
      encoder: encoder, models: ServedModels(entries: entries, created: Int(time(nil))),
      stopIDs: facts.stopIDs, defaults: defaults, vocabulary: facts.vocabulary,
      maximumLength: min(facts.maximumLength, options.maxModelLength), options: options)
    let responder = Responder(
      engine: engine, reader: reader, access: AccessGuard(options), options: options, page: Page())
    // What a library has to say about single connections is no news for the user.
    var logger = Logger(label: "serve")
    logger.logLevel = .critical
    let (limit, options) = (options.maxHeaderByteCount, options)
    let application = Application(
      responder: responder,
      server: .http1(
        configuration: .init(
          additionalChannelHandlers: [ConnectionLimits(seconds: options.idleTimeoutSeconds)],
          idleTimeout: .seconds(Int64(options.idleTimeoutSeconds)),
          httpDecoderConfiguration: .init(
            maxHeaderFieldSize: limit, maxHeaderListSize: limit, maxHeaderFieldCount: 100))),
      configuration: .init(
        address: .hostname(options.host, port: options.port),
        availableConnectionsDelegate: MaximumAvailableConnections(options.maxConnections)),
      onServerRunning: { channel in onListening(channel.localAddress?.port ?? 0) },
      logger: logger)
    var configuration = ServiceGroupConfiguration(
      services: [
        application, Drain(engine: engine, seconds: options.shutdownSeconds),
        FailureWatch(engine: engine),
      ],
      gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
    // Clients that do not read what they have asked for.
    configuration.maximumGracefulShutdownDuration = .seconds(options.shutdownSeconds + 5)
    do { try await ServiceGroup(configuration: configuration).run() } catch {
      if error is CancellationError { return }
      if let error = error as? ServeError { throw error }
      guard error is IOError || error is SocketAddressError else { throw error }
      throw ServeError.cannotListen(
        host: options.host, port: options.port, problem: "\(error)")
    }
  }

  /// Ends the server when the thread that decodes cannot go on, once its clients have been told.
  private struct FailureWatch: Service {
    let engine: Engine

    func run() async throws {
      for await problem in engine.failures.cancelOnGracefulShutdown() {
        try? await Task.sleep(for: .seconds(1))
        throw ServeError.engine(problem: problem)
      }
    }
  }

  /// Begins the end: requests that wait are refused, answers that run have some time left.
  private struct Drain: Service {
    let engine: Engine
    let seconds: Int

    func run() async throws {
      try await gracefulShutdown()
      engine.drain(within: .seconds(seconds))
    }
  }
}
