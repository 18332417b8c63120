#include "bindings/python/frames.h"

#if PY_VERSION_HEX < 0x030B0000
#include <frameobject.h>
#define LIBGRAD_FRAMES 1
#elif PY_VERSION_HEX < 0x030E0000 && !defined(Py_GIL_DISABLED)
#define Py_BUILD_CORE
#include <internal/pycore_frame.h>
#undef Py_BUILD_CORE
#define LIBGRAD_FRAMES 1
#else
#define LIBGRAD_FRAMES 0
#endif

namespace {

#if !LIBGRAD_FRAMES  // ask the interpreter instead
using Frame = void;
Frame* innermost(PyThreadState*) {
  return nullptr;
}
Frame* outer(Frame*) {
  return nullptr;
}
PyCodeObject* code_of(Frame*) {
  return nullptr;
}
int position_of(Frame*) {
  return -1;
}
#elif PY_VERSION_HEX < 0x030B0000
using Frame = PyFrameObject;
Frame* innermost(PyThreadState* thread) {
  return thread->frame;
}
Frame* outer(Frame* frame) {
  return frame->f_back;
}
PyCodeObject* code_of(Frame* frame) {
  return frame->f_code;
}
int position_of(Frame* frame) {
  return frame->f_lasti * static_cast<int>(sizeof(_Py_CODEUNIT));
}
#else
using Frame = _PyInterpreterFrame;
Frame* complete(Frame* frame) {
  while (frame != nullptr && _PyFrame_IsIncomplete(frame)) {
    frame = frame->previous;
  }
  return frame;
}
Frame* innermost(PyThreadState* thread) {
#if PY_VERSION_HEX < 0x030D0000
  return complete(thread->cframe->current_frame);
#else
  return complete(thread->current_frame);
#endif
}
Frame* outer(Frame* frame) {
  return complete(frame->previous);
}
PyCodeObject* code_of(Frame* frame) {
#if PY_VERSION_HEX < 0x030D0000
  return frame->f_code;
#else
  return _PyFrame_GetCode(frame);
#endif
}
int position_of(Frame* frame) {
  return _PyInterpreterFrame_LASTI(frame) *
         static_cast<int>(sizeof(_Py_CODEUNIT));
}
#endif

}  // namespace

Frames::Frames() : frame_(nullptr) {
  if (auto* thread = PyGILState_GetThisThreadState()) {
    frame_ = innermost(thread);
  }
}

void Frames::next() {
  frame_ = outer(static_cast<Frame*>(frame_));
}

PyCodeObject* Frames::code() const {
  return code_of(static_cast<Frame*>(frame_));
}

int Frames::position() const {
  return position_of(static_cast<Frame*>(frame_));
}

bool frames_can_be_read() {
  auto* frame = PyEval_GetFrame();  // borrowed
  Frames frames;
  if (frame == nullptr || frames.at_end()) {
    return false;
  }
  auto* code = PyFrame_GetCode(frame);
  bool same = frames.code() == code;
  Py_DECREF(code);
#if PY_VERSION_HEX >= 0x030B0000
  same = same && frames.position() == PyFrame_GetLasti(frame);
#endif
  auto* back = PyFrame_GetBack(frame);
  frames.next();
  if (same && back != nullptr) {
    code = PyFrame_GetCode(back);
    same = !frames.at_end() && frames.code() == code;
    Py_DECREF(code);
  } else if (same) {
    same = frames.at_end();
  }
  Py_XDECREF(back);
  return same;
}
