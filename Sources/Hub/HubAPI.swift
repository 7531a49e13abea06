// The hub's questions and answers about a repository: its commit, its files, and what it refuses.

import OrderedJSON

/// Questions about one repository.
struct HubAPI {
  let transport: Transport
  let context: HubContext
  let repository: RepositoryName

  private var settings: HubSettings { context.settings }

  /// The commit of `revision` and its files.
  func listing(_ revision: Revision) throws(HubError) -> RepositoryListing {
    let name = repository.description
    let address = try address(
      "/api/models/\(name)/revision/\(WebAddress.percentEncoded(revision.description))?blobs=true")
    let bytes = try Attempts.repeated(context, subject: name) { () throws(Setback) in
      let keeper = ReplyKeeper(subject: name, maximum: settings.maximumListingByteCount)
      try transport.send(
        to: address, headers: [("Accept", "application/json")], subject: name, receiver: keeper)
      guard let reply = keeper.reply, reply.head.status == 200 else {
        throw refusal(keeper.reply, revision: revision, file: nil)
      }
      return keeper.bytes
    }
    let value: JSON
    do throws(JSONError) { value = try JSON.parse(bytes) } catch {
      throw .response(
        subject: name,
        problem: "the hub's list of files: bad JSON: \(error.message) (is HF_ENDPOINT a hub?)")
    }
    return try RepositoryListing(value, of: repository)
  }

  /// `file` with size and content, asked for where the list did not say.
  func described(_ file: HubFile, commit: String) throws(HubError) -> HubFile {
    if file.content != nil, file.byteCount != nil { return file }
    let address = try address(of: file, commit: commit)
    let metadata = try Attempts.repeated(context, subject: file.path) { () throws(Setback) in
      let keeper = ReplyKeeper(subject: file.path)
      try transport.send(isHead: true, to: address, subject: file.path, receiver: keeper)
      guard let reply = keeper.reply, reply.head.status == 200 || reply.head.isRedirect else {
        throw refusal(keeper.reply, revision: nil, file: file)
      }
      return reply.metadata
    }
    guard !metadata.hasBadName, let content = file.content ?? metadata.content else {
      throw .response(
        subject: file.path,
        problem: "the hub gives \(metadata.hasBadName ? "a bad" : "no") ETag for it "
          + "(is HF_ENDPOINT a hub?)")
    }
    let byteCount = file.byteCount ?? metadata.byteCount
    if let byteCount, byteCount > HubFile.maximumByteCount {
      throw .response(
        subject: file.path,
        problem: "the hub says that it has \(byteCount) bytes, more than a file can have")
    }
    return HubFile(path: file.path, byteCount: byteCount, content: content)
  }

  /// Where the content of a file is fetched.
  func address(of file: HubFile, commit: String) throws(HubError) -> WebAddress {
    try address(
      "/\(repository)/resolve/\(commit)/\(WebAddress.percentEncoded(file.path, keeping: "/"))")
  }

  private func address(_ path: String) throws(HubError) -> WebAddress {
    guard let address = WebAddress(settings.endpoint.description + path) else {
      throw .invalidSetting(
        name: "HF_ENDPOINT", problem: "cannot be continued with \(path.debugDescription)")
    }
    return address
  }

  /// What an answer that is not the wanted one means.
  func refusal(_ reply: Reply?, revision: Revision?, file: HubFile?) -> Setback {
    guard let reply else {
      return .transient(problem: "there was no answer", retryAfterSeconds: nil)
    }
    let (name, hasToken) = (repository.description, settings.token != nil)
    let code = reply.head["X-Error-Code"] ?? ""
    let message = Self.oneLine(reply.head["X-Error-Message"] ?? "")
    let isHub = settings.isTrusted(reply.address)
    switch reply.head.status {
    case 408, 425, 429, 500...599:
      return .transient(
        problem: "\(reply.address.host): the server answers \(reply.head.status)"
          + (reply.head.status == 429 ? " (too many requests)" : ""),
        retryAfterSeconds: Self.wait(reply.head))
    case 400..<500 where !isHub:
      // The signature of an address outside the hub may have expired: the hub gives a new one.
      return .transient(
        problem: "\(reply.address.host): the server answers \(reply.head.status)",
        retryAfterSeconds: nil)
    case 401:
      if code == "GatedRepo" { return .final(gated(hasToken)) }
      return .final(.unauthorized(repository: name, hasToken: hasToken))
    case 403:
      if code == "GatedRepo" || message.lowercased().contains("gated") {
        return .final(gated(hasToken))
      }
      return .final(.forbidden(repository: name, reason: message, hasToken: hasToken))
    case 404, 410:
      if code == "RevisionNotFound", let revision {
        return .final(.revisionNotFound(repository: name, revision: revision.description))
      }
      if let file { return .final(.fileNotFound(repository: name, file: file.path)) }
      return .final(
        .repositoryNotFound(repository: name, endpoint: settings.endpoint.description))
    default:
      return .final(
        .response(
          subject: file?.path ?? name,
          problem: "\(reply.address.host): the server answers \(reply.head.status)"
            + (message.isEmpty ? "" : ": \(message)")))
    }
  }

  private func gated(_ hasToken: Bool) -> HubError {
    .gated(
      repository: repository.description, page: "\(settings.endpoint)/\(repository)",
      hasToken: hasToken)
  }

  /// Seconds that a server asks to wait: `Retry-After` in seconds, or the time left in `RateLimit`.
  static func wait(_ head: HTTPHead) -> Double? {
    if let text = head["Retry-After"], let seconds = byteNumber(text) {
      return Double(seconds)
    }
    // "api";r=0;t=55
    guard let limit = head["RateLimit"] else { return nil }
    for part in limit.split(separator: ";") {
      let words = part.split(separator: "=").map { $0.filter { $0 != " " } }
      if words.count == 2, words[0] == "t", let seconds = byteNumber(words[1]) {
        return Double(seconds)
      }
    }
    return nil
  }

  private static func oneLine(_ text: String) -> String {
    String(
      text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }.prefix(200).map(
        Character.init))
  }
}
