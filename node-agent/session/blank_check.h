// Whether a whole picture shows anything at all. A renderer whose driver broke writes black frames and calls
// them rendered; so does a scene that fades to black. Which it is, the controller tells by the frames beside.
#pragma once

#include <string_view>

#include "payloads/http_bodies.h"

namespace kiln::session {

// black: no pixel that can be seen is lighter than dither noise. transparent: no pixel can be seen. Looks no
// further than the first pixel that shows something, so that only a blank picture is decoded to its end.
// PNG of 8 and 16 bits, and OpenEXR in scanlines, plain or zipped, its own picture or a layer's Combined.
// `no` for all others, and for bytes that are no such picture.
payloads::Blank find_blank(std::string_view bytes);

}  // namespace kiln::session
