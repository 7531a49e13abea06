// How the hub is reached and how patient one is with it. The variables are those of huggingface_hub; none of them
// changes what a file holds.

import Files

/// Where the hub is, who asks, where files are kept, and the limits of patience.
package struct HubSettings: Sendable {
  /// The hub, without a slash at its end.
  package var endpoint: WebAddress
  /// What is sent with requests to the hub, and to nobody else.
  package var token: String?
  /// The folder of repositories.
  package var cacheFolder: String
  /// Why the network may not be used; nil where it may.
  package var offlineReason: String?
  /// The file of certificates that are believed; nil for the system's.
  package var certificateFile: String?
  /// The program, as it tells servers.
  package var userAgent = "qwen-sft"
  /// Files fetched at a time.
  package var maxWorkers = 4
  /// Seconds for a connection to be made.
  package var connectSeconds = 10.0
  /// Seconds for an answer to begin.
  package var answerSeconds = 60.0
  /// Seconds in which ``minimumByteCount`` must arrive.
  package var stallSeconds = 30.0
  /// Bytes that must arrive in ``stallSeconds``: less is a stalled transfer.
  package var minimumByteCount = 4096
  /// Tries without noticeable progress.
  package var maximumTries = 6
  /// Bytes that count as noticeable progress.
  package var progressByteCount = 1 << 20
  /// Seconds before the second try; doubled with each further one.
  package var firstDelaySeconds = 1.0
  /// The longest wait of our own between tries, in seconds.
  package var maximumDelaySeconds = 30.0
  /// The longest wait that a server can ask for, in seconds.
  package var maximumRetryAfterSeconds = 300.0
  /// The longest list of files taken, in bytes.
  package var maximumListingByteCount = 32 << 20
  /// Redirections followed for one request.
  package var maximumRedirects = 10
  /// Seconds between questions whether to stop, or whether a lock is free.
  package var pollSeconds = 0.05

  /// The hub that everybody means.
  package static let defaultEndpoint = "https://huggingface.co"

  /// Settings for a hub and a folder.
  ///
  /// - Throws: ``HubError/invalidSetting(name:problem:)`` where the endpoint is no address.
  package init(endpoint: String = HubSettings.defaultEndpoint, cacheFolder: String) throws(HubError)
  {
    var trimmed = Substring(endpoint)
    while trimmed.last == "/" { trimmed.removeLast() }
    guard let address = WebAddress(String(trimmed)), !trimmed.contains("?"), !trimmed.contains("#")
    else {
      throw .invalidSetting(
        name: "HF_ENDPOINT",
        problem: "expected an address such as \(Self.defaultEndpoint), found "
          + endpoint.debugDescription)
    }
    self.endpoint = address
    self.cacheFolder = cacheFolder
  }

  /// What the environment says, `variable` giving the value of a name. `token` wins over the environment's.
  ///
  /// Read: `HF_ENDPOINT`, `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, `HOME`, `HF_TOKEN`,
  /// `HUGGING_FACE_HUB_TOKEN`, `HF_TOKEN_PATH`, `HF_HUB_DISABLE_IMPLICIT_TOKEN`, `HF_HUB_OFFLINE`,
  /// `TRANSFORMERS_OFFLINE`, `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`; and, by libcurl, the usual variables
  /// for proxies.
  package init(
    cacheFolder: String, token: String? = nil, isOffline: Bool = false,
    environment variable: (String) -> String?
  ) throws(HubError) {
    func value(_ name: String) -> String? { variable(name).flatMap { $0.isEmpty ? nil : $0 } }
    try self.init(
      endpoint: value("HF_ENDPOINT") ?? Self.defaultEndpoint, cacheFolder: cacheFolder)
    if isOffline { offlineReason = "--offline forbids the network" }
    for name in ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"] where Self.isTrue(value(name)) {
      offlineReason = offlineReason ?? "\(name) forbids the network"
    }
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
      certificateFile = certificateFile ?? value(name)
    }
    if let token {
      self.token = try Self.cleaned(token, from: "--token")
    } else if !Self.isTrue(value("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
      self.token = try Self.implicitToken(value)
    }
  }

  /// The token of the environment, or that of the file where huggingface_hub keeps it.
  private static func implicitToken(_ value: (String) -> String?) throws(HubError) -> String? {
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
      if let text = value(name), let token = try cleaned(text, from: name) { return token }
    }
    let home: String? =
      value("HF_HOME")
      ?? (value("XDG_CACHE_HOME") ?? value("HOME").map { FileSystem.join($0, ".cache") })
      .map { FileSystem.join($0, "huggingface") }
    guard let path = value("HF_TOKEN_PATH") ?? home.map({ FileSystem.join($0, "token") }),
      FileSystem.kind(of: path) == .file
    else { return nil }
    let text: String
    do throws(FileError) { text = try FileSystem.readText(path, maximumByteCount: 65_536) } catch {
      // A token that we may not read is one that we do not have.
      if case .system = error { return nil }
      throw .file(error)
    }
    return try cleaned(text, from: path)
  }

  /// A token without white space around it; nil where nothing is left.
  private static func cleaned(_ text: String, from place: String) throws(HubError) -> String? {
    let bytes = text.utf8.filter { $0 != 0x0A && $0 != 0x0D }
    let token = bytes.drop { $0 == 0x20 || $0 == 0x09 }.reversed()
      .drop { $0 == 0x20 || $0 == 0x09 }.reversed()
    guard token.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw .invalidSetting(name: place, problem: "expected a token, found other characters")
    }
    return token.isEmpty ? nil : String(decoding: token, as: UTF8.self)
  }

  private static func isTrue(_ value: String?) -> Bool {
    ["1", "ON", "YES", "TRUE"].contains(value?.uppercased())
  }

  /// Whether the token may be sent to `address`: the hub itself, or Hugging Face's where a mirror leads there.
  func isTrusted(_ address: WebAddress) -> Bool {
    address.hasSameOrigin(as: endpoint)
      || (address.isSecure && address.port == 443
        && ["huggingface.co", "hf.co"].contains(address.host))
  }
}
