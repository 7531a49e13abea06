// libcurl's interface, version 7.66 or later. Its functions with a variable number of arguments, which Swift does
// not see, by the type of the argument.
#pragma once
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

/// Readies the library; to be called before anything else, by one thread.
static inline CURLcode qwen_sft_curl_begin(void) { return curl_global_init(CURL_GLOBAL_DEFAULT); }

static inline CURLcode qwen_sft_curl_set_number(CURL *handle, CURLoption option, long value) {
  return curl_easy_setopt(handle, option, value);
}

static inline CURLcode qwen_sft_curl_set_text(CURL *handle, CURLoption option, const char *value) {
  return curl_easy_setopt(handle, option, value);
}

static inline CURLcode qwen_sft_curl_set_list(CURL *handle, CURLoption option, struct curl_slist *value) {
  return curl_easy_setopt(handle, option, value);
}

/// Allows http and https, and no other protocol.
static inline CURLcode qwen_sft_curl_allow_web(CURL *handle) {
#if LIBCURL_VERSION_NUM >= 0x075500
  return curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
#else
  return curl_easy_setopt(handle, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
}

/// Sends the bytes of a body to `body`, and lines of headers to `header`, both with `context`.
static inline CURLcode qwen_sft_curl_set_receivers(
    CURL *handle, curl_write_callback header, curl_write_callback body, void *context) {
  CURLcode code = curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, header);
  if (code == CURLE_OK) code = curl_easy_setopt(handle, CURLOPT_HEADERDATA, context);
  if (code == CURLE_OK) code = curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, body);
  if (code == CURLE_OK) code = curl_easy_setopt(handle, CURLOPT_WRITEDATA, context);
  return code;
}

/// Where to put the words for an error: `CURL_ERROR_SIZE` bytes.
static inline CURLcode qwen_sft_curl_set_error_buffer(CURL *handle, char *buffer) {
  return curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, buffer);
}

/// The result of the transfer that has ended, or -1 where none has.
static inline int qwen_sft_curl_result(CURLM *handle) {
  int left = 0;
  int result = -1;
  CURLMsg *message;
  while ((message = curl_multi_info_read(handle, &left)))
    if (message->msg == CURLMSG_DONE) result = (int)message->data.result;
  return result;
}
