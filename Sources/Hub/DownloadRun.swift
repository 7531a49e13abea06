// One download, step by step.

import Files

/// A download while it runs.
struct DownloadRun: Sendable {
  let request: Downloader.Request
  let context: HubContext

  private var repository: RepositoryName { request.repository }
  private var cache: HubCache { HubCache(context.settings.cacheFolder) }

  /// Fetches what is not here.
  func run() throws(HubError) -> Downloader.Summary {
    if let reason = context.settings.offlineReason {
      throw .offline(repository: repository.description, reason: reason)
    }
    // 1. The commit, and its files with sizes and digests.
    let api = HubAPI(
      transport: try Transport(context), context: context, repository: repository)
    let listing = try api.listing(request.revision)
    let chosen = try request.selection.files(of: listing, in: repository)
    let files = try eachInParallel(chosen) { (file, api) throws(HubError) in
      try api.described(file, commit: listing.commit)
    }
    // 2. What is missing, and whether there is room for it.
    let destination = try destination(listing.commit, files)
    let missing = files.filter { request.isForced || !destination.isPresent($0) }
    let byteCount = try total(files)
    let missingByteCount = missing.reduce(0) { $0 + ($1.byteCount ?? 0) }
    let gatheredByteCount = missing.reduce(0) { $0 + gathered($1, destination) }
    try checkRoom(missingByteCount - gatheredByteCount, in: destination.folder)
    context.report(
      .planned(
        fileCount: files.count, byteCount: byteCount,
        presentByteCount: byteCount - missingByteCount + gatheredByteCount))
    let progress = TransferProgress(
      context, byteCount: byteCount - missingByteCount, of: byteCount,
      filesDone: files.count - missing.count)
    // 3. The files, the largest first: they take longest.
    if request.localFolder == nil { HubCache.tag(cache.root) }
    let ordered = missing.sorted { ($0.byteCount ?? 0) > ($1.byteCount ?? 0) }
    _ = try eachInParallel(ordered) { (file, api) throws(HubError) in
      try fetch(file, commit: listing.commit, api, to: destination, progress)
      progress.finishFile()
    }
    // 4. The name of the revision, when all that it promises is there.
    if request.localFolder == nil {
      try cache.note(repository, request.revision, at: listing.commit)
      cache.note(
        repository, commit: listing.commit,
        without: FileSelection.missingCompanions(in: listing))
    }
    return Downloader.Summary(
      folder: destination.folder, commit: listing.commit, files: files,
      fetchedFileCount: missing.count, fetchedByteCount: missingByteCount)
  }

  /// The bytes of all files: the hub says how many each has, and may lie.
  private func total(_ files: [HubFile]) throws(HubError) -> Int {
    var total = 0
    for file in files {
      let (sum, isTooLarge) = total.addingReportingOverflow(file.byteCount ?? 0)
      if isTooLarge {
        throw .response(
          subject: repository.description,
          problem: "the sizes of its files add up to more than can be (is HF_ENDPOINT a hub?)")
      }
      total = sum
    }
    return total
  }

  private func destination(_ commit: String, _ files: [HubFile]) throws(HubError)
    -> any FileDestination
  {
    let cached = CacheDestination(cache: cache, repository: repository, commit: commit)
    guard let folder = request.localFolder else { return cached }
    for file in files where file.path.lowercased().hasPrefix(".cache/") {
      throw .unsafeFileName(
        repository: repository.description, file: file.path,
        problem: "notes on the download are kept there")
    }
    return LocalDestination(folder: folder, commit: commit, cached: cached)
  }

  /// Sees to it that `needed` bytes fit the device.
  private func checkRoom(_ needed: Int, in folder: String) throws(HubError) {
    guard needed > 0, let free = FileSystem.freeByteCount(at: folder) else { return }
    if needed > free { throw .noSpace(folder: folder, needed: needed, free: free) }
  }

  /// The bytes of `file` that an earlier run has gathered, all of them where the content is here without its link.
  private func gathered(_ file: HubFile, _ destination: any FileDestination) -> Int {
    if !request.isForced, let cached = destination as? CacheDestination, let content = file.content,
      isFile(cached.cache.blob(repository, content), of: file.byteCount)
    {
      return file.byteCount ?? 0
    }
    guard let content = file.content, let byteCount = file.byteCount,
      let present = try? FileSystem.byteCount(of: destination.partialPath(file, content))
    else { return 0 }
    return min(present, byteCount)
  }

  private func fetch(
    _ file: HubFile, commit: String, _ api: HubAPI, to destination: any FileDestination,
    _ progress: TransferProgress
  ) throws(HubError) {
    guard let content = file.content else { preconditionFailure("Downloader: no content") }
    do throws(FileError) { try destination.prepare(file, content) } catch { throw .file(error) }
    let lock = try context.lock(destination.lockPath(file, content), for: file.path)
    defer { withExtendedLifetime(lock) {} }
    do throws(FileError) {
      if !request.isForced, try destination.adopt(file, content) {
        progress.add(file.byteCount ?? 0)
        return
      }
    } catch { throw .file(error) }
    let partial: PartialFile
    do throws(FileError) {
      partial = try PartialFile(path: destination.partialPath(file, content))
    } catch { throw .file(error) }
    if !content.isVerifiable { context.report(.unverified(file: file.path)) }
    let download = BlobDownload(file, content, into: partial, api: api, progress: progress)
    try download.run(from: try api.address(of: file, commit: commit))
    do throws(FileError) { try destination.publish(partial, file, content) } catch {
      throw .file(error)
    }
  }

  /// `body` of each value on a few threads, each with connections of its own; results in order. The first error ends
  /// the work of all.
  private func eachInParallel<Value: Sendable, Result: Sendable>(
    _ values: [Value],
    _ body: @escaping @Sendable (Value, HubAPI) throws(HubError) -> Result
  ) throws(HubError) -> [Result] {
    let queue = WorkQueue<Result>(count: values.count)
    let threadCount = min(max(1, context.settings.maxWorkers), values.count)
    Threads.run(threadCount) { [context, repository] in
      do throws(HubError) {
        let api = HubAPI(
          transport: try Transport(context), context: context, repository: repository)
        while let index = queue.next() {
          if context.isStopped { throw .stopped }
          queue.finish(index, try body(values[index], api))
        }
      } catch {
        queue.fail(error)
        context.fail()
      }
    }
    return try queue.results()
  }
}
