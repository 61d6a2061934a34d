// How a step of a task's work ends when it does not succeed.
#pragma once

#include <filesystem>
#include <string_view>
#include <tl/expected.hpp>

#include "base/result.h"
#include "payloads/http_bodies.h"

namespace kiln::session {

// Why a task goes no further.
struct Stop {
  bool cancelled = false;
  payloads::Failure failure;
};
template <class T>
using Step = tl::expected<T, Stop>;

// This box could not do it: disk-full when `scratch` has no room left, whatever the error says;
// frame-invalid for what is invalid; else scratch-unusable.
Stop stopped_by(const Error& error, std::string_view doing, const std::filesystem::path& scratch);

// Files could not be had: missing-file (the whole job) when they are gone from the controller, disk-full,
// else fetch-failed.
Stop not_fetched(const Error& error, std::string_view doing, const std::filesystem::path& scratch);

// A renderer of the controller could not be had: renderer-gone (the whole job) when it is not there any more,
// renderer-broken when it cannot be unpacked, renderer-no-room, else fetch-failed.
Stop no_renderer(const Error& error);

}  // namespace kiln::session
