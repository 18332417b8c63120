/// libgrad/libgrad.h -- the whole C++ library, except <libgrad/python.h>.

#pragma once

#include <libgrad/chain.h>
#include <libgrad/checkpoint.h>
#include <libgrad/diff.h>
#include <libgrad/doctor.h>
#include <libgrad/draw.h>
#include <libgrad/function.h>
#include <libgrad/functional.h>
#include <libgrad/grad.h>
#include <libgrad/gradcheck.h>
#include <libgrad/gradient_hooks.h>
#include <libgrad/graph.h>
#include <libgrad/hooks.h>
#include <libgrad/linear.h>
#include <libgrad/name.h>
#include <libgrad/node_hooks.h>
#include <libgrad/plan.h>
#include <libgrad/record.h>
#include <libgrad/split.h>
#include <libgrad/unused.h>
#include <libgrad/why.h>
