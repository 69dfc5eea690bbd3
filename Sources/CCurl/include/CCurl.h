#pragma once

#include <curl/curl.h>
#include <stddef.h>

// libcurl sets options and reads results through variadic functions, which Swift cannot call.
// Each function here calls one of them with the argument of one type.

CURLcode ccurl_set_long(CURL *handle, CURLoption option, long value);
CURLcode ccurl_set_offset(CURL *handle, CURLoption option, curl_off_t value);
CURLcode ccurl_set_string(CURL *handle, CURLoption option, const char *value);
CURLcode ccurl_set_pointer(CURL *handle, CURLoption option, void *value);
/// Sets an option to `size` bytes, which libcurl copies.
CURLcode ccurl_set_blob(CURL *handle, CURLoption option, const void *bytes, size_t size);
CURLcode ccurl_set_list(CURL *handle, CURLoption option, struct curl_slist *value);

/// Receives the response's header lines (`CURLOPT_HEADERFUNCTION`) or body
/// (`CURLOPT_WRITEFUNCTION`); `context` goes to the function as its last argument.
typedef size_t (*ccurl_receiver)(char *bytes, size_t size, size_t count, void *context);
CURLcode ccurl_set_header_receiver(CURL *handle, ccurl_receiver receiver, void *context);
CURLcode ccurl_set_body_receiver(CURL *handle, ccurl_receiver receiver, void *context);

/// What a write function returns to be called with the same bytes later.
size_t ccurl_write_pause(void);

/// Has the kernel give up a connection whose other host is not heard of for about so long.
CURLcode ccurl_set_silence_limit(CURL *handle, long milliseconds);

CURLMcode ccurl_multi_set_long(CURLM *multi, CURLMoption option, long value);

/// The handle and result of a message that says a transfer is done; NULL for other messages.
CURL *ccurl_done(const CURLMsg *message, CURLcode *result);
