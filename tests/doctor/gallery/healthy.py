"""Training loops that are right, each full of legitimate in-place writes.

`HEALTHY` lists functions of the number of steps, which return nothing and raise where torch does.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Loop = Callable[[int], None]
HEALTHY: list[Loop] = []


def healthy(loop: Loop) -> Loop:
    HEALTHY.append(loop)
    return loop


def mlp(*, inplace: bool = False, out: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace), nn.Linear(4, out))


def batches(steps: int, *shape: int, seed: int = 0) -> Iterator[Tensor]:
    """New random numbers for every step, from a generator of their own."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        yield torch.randn(*shape, generator=generator)


def step(opt: torch.optim.Optimizer, loss: Tensor) -> None:
    opt.zero_grad()
    loss.backward()
    opt.step()


def fit(steps: int, make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]) -> None:
    torch.manual_seed(0)
    net = mlp()
    opt = make(net.parameters())
    for x in batches(steps, 5, 3):
        step(opt, net(x).square().mean())


@healthy
def sgd(steps):
    fit(steps, lambda p: torch.optim.SGD(p, lr=0.01, foreach=False))


@healthy
def sgd_momentum_foreach(steps):
    fit(steps, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, foreach=True))


@healthy
def sgd_fused(steps):
    fit(steps, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, fused=True))


@healthy
def adam(steps):
    fit(steps, lambda p: torch.optim.Adam(p, lr=1e-3, amsgrad=True))


@healthy
def adamw_foreach(steps):
    fit(steps, lambda p: torch.optim.AdamW(p, lr=1e-3, foreach=True))


@healthy
def adamw_fused(steps):
    fit(steps, lambda p: torch.optim.AdamW(p, lr=1e-3, fused=True))


@healthy
def adagrad_fused(steps):
    fit(steps, lambda p: torch.optim.Adagrad(p, lr=1e-2, fused=True))


@healthy
def rmsprop_centered(steps):
    fit(steps, lambda p: torch.optim.RMSprop(p, lr=1e-3, centered=True, momentum=0.5))


@healthy
def lbfgs_closure(steps):
    torch.manual_seed(0)
    net = mlp()
    opt = torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=2, history_size=3)
    for x in batches(steps, 5, 3):

        def closure():
            opt.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            return loss

        opt.step(closure)


@healthy
def gradient_accumulation(steps):
    torch.manual_seed(0)
    net = mlp(inplace=True)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for i, x in enumerate(batches(steps, 5, 3)):
        (net(x).square().mean() / 4).backward()
        if i % 4 == 3:
            opt.step()
            opt.zero_grad(set_to_none=False)


@healthy
def gan_right_order(steps):
    torch.manual_seed(0)
    generator, critic = mlp(out=3), mlp()
    opt_g = torch.optim.Adam(generator.parameters(), lr=1e-3)
    opt_d = torch.optim.Adam(critic.parameters(), lr=1e-3)
    ones, zeros = torch.ones(4, 1), torch.zeros(4, 1)
    bce = F.binary_cross_entropy_with_logits
    for real in batches(steps, 4, 3):
        fake = generator(real.flip(0))
        step(opt_d, bce(critic(real), ones) + bce(critic(fake.detach()), zeros))
        step(opt_g, bce(critic(fake), ones))


@healthy
def wgan_weight_clipping(steps):
    torch.manual_seed(0)
    critic = mlp()
    opt = torch.optim.RMSprop(critic.parameters(), lr=5e-5)
    for x in batches(steps, 4, 3):
        step(opt, critic(x).mean() - critic(-x).mean())
        for p in critic.parameters():
            p.data.clamp_(-0.01, 0.01)


@healthy
def rnn_detached_state(steps):
    torch.manual_seed(0)
    cell, head = nn.RNNCell(3, 4), nn.Linear(4, 1)
    opt = torch.optim.SGD([*cell.parameters(), *head.parameters()], lr=0.01)
    hidden = torch.zeros(2, 4)
    for x in batches(steps, 2, 3):
        hidden = cell(x, hidden.detach_())
        step(opt, head(hidden).square().mean())


@healthy
def lstm_state_buffers(steps):
    """The last state is copied into buffers after backward."""
    torch.manual_seed(0)
    lstm = nn.LSTM(3, 4)
    opt = torch.optim.Adam(lstm.parameters(), lr=1e-3)
    h, c = torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)
    for x in batches(steps, 3, 2, 3):
        out, (new_h, new_c) = lstm(x, (h, c))
        step(opt, out.square().mean())
        h.copy_(new_h.detach())
        c.copy_(new_c.detach())


@healthy
def cell_state_in_place(steps):
    """`mul_` and `add_` on a state that no node keeps: mul_ saves a copy of what it overwrites."""
    torch.manual_seed(0)
    gates = nn.Linear(3, 8)
    opt = torch.optim.SGD(gates.parameters(), lr=0.01)
    for x in batches(steps, 2, 3):
        c = torch.zeros(2, 4)
        for _ in range(2):
            f, i = gates(x).chunk(2, 1)
            c.mul_(torch.sigmoid(f)).add_(torch.tanh(i))
        step(opt, torch.tanh(c).sum())


@healthy
def batch_norm_train_and_eval(steps):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Linear(4, 1))
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for i, x in enumerate(batches(steps, 5, 3)):
        net.train(i % 3 != 2)
        step(opt, net(x).square().mean())


@healthy
def batch_norm_twice_in_one_graph(steps):
    """Backward in train mode reads no running statistics: the second forward may move them."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=None), nn.Linear(4, 1))
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for x in batches(steps, 5, 3):
        step(opt, (net(x) - net(-x)).square().mean())


@healthy
def dropout_in_place(steps):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5, inplace=True), nn.ReLU(), nn.Linear(4, 1))
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for x in batches(steps, 5, 3):
        step(opt, net(x).square().mean())


@healthy
def relu_in_place_after_convolution(steps):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, bias=False),
        nn.BatchNorm2d(2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Flatten(),
        nn.Linear(8, 1),
    )
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for x in batches(steps, 2, 1, 4, 4):
        step(opt, net(x).square().mean())


@healthy
def residual_in_place(steps):
    """`out += x` after a linear layer, whose backward needs no output."""
    torch.manual_seed(0)
    layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(3))
    opt = torch.optim.SGD(layers.parameters(), lr=0.01)
    for x in batches(steps, 5, 3):
        h = x
        for layer in layers:
            out = layer(h)
            out += h
            h = out.relu_()
        step(opt, h.square().mean())


@healthy
def ema_copy(steps):
    torch.manual_seed(0)
    net = mlp()
    average = copy.deepcopy(net).requires_grad_(False)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for x in batches(steps, 5, 3):
        step(opt, (net(x) - average(x)).square().mean() + net(x).mean())
        with torch.no_grad():
            for mean, p in zip(average.parameters(), net.parameters(), strict=True):
                mean.lerp_(p, 0.1)


@healthy
def gradient_clipping(steps):
    torch.manual_seed(0)
    net = mlp()
    opt = torch.optim.Adam(net.parameters(), lr=1e-3, foreach=True)
    for x in batches(steps, 5, 3):
        opt.zero_grad()
        net(x).square().mean().backward()
        nn.utils.clip_grad_value_(net.parameters(), 0.5)
        nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        opt.step()


@healthy
def autocast_bfloat16(steps):
    torch.manual_seed(0)
    net = mlp()
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for x in batches(steps, 5, 3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = net(x).float().square().mean()
        step(opt, loss)


@healthy
def checkpointed(steps):
    torch.manual_seed(0)
    net = mlp(inplace=True, out=3)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for x in batches(steps, 5, 3):
        y = checkpoint(net, x, use_reentrant=False)
        y += 1
        step(opt, y.square().mean())


@healthy
def dqn_target_copy(steps):
    torch.manual_seed(0)
    online, target = mlp(out=2), mlp(out=2)
    opt = torch.optim.Adam(online.parameters(), lr=1e-3)
    for i, state in enumerate(batches(steps, 5, 3)):
        with torch.no_grad():
            best = target(state.roll(1, 0)).max(1).values.mul_(0.9).add_(1.0)
        step(opt, F.smooth_l1_loss(online(state)[:, 0], best))
        if i % 5 == 4:
            target.load_state_dict(online.state_dict())


@healthy
def spectral_norm(steps):
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4))
    opt = torch.optim.SGD(layer.parameters(), lr=0.01)
    for x in batches(steps, 5, 3):
        step(opt, (layer(x) + layer(-x).tanh()).square().mean())


@healthy
def weight_norm(steps):
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    opt = torch.optim.SGD(layer.parameters(), lr=0.01)
    for x in batches(steps, 5, 3):
        step(opt, layer(x).square().mean())


@healthy
def compiled_eager(steps):
    torch.manual_seed(0)
    net = mlp(inplace=True)
    compiled = torch.compile(net, backend="eager")
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for x in batches(steps, 5, 3):
        step(opt, compiled(x).square().mean())


@healthy
def memory_bank(steps):
    """The queue is read through a copy, so that it may take the new keys before backward."""
    torch.manual_seed(0)
    encoder, queue, at = nn.Linear(4, 3), F.normalize(torch.randn(8, 3), dim=1), 0
    opt = torch.optim.SGD(encoder.parameters(), lr=0.01)
    for x in batches(steps, 2, 4):
        query = F.normalize(encoder(x), dim=1)
        logits = query @ queue.clone().t()
        queue[at : at + 2] = query.detach()
        at = (at + 2) % 8
        step(opt, F.cross_entropy(logits, torch.zeros(2, dtype=torch.long)))


@healthy
def gradient_penalty(steps):
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    opt = torch.optim.Adam(critic.parameters(), lr=1e-3)
    for x in batches(steps, 5, 3):
        x.requires_grad_()
        score = critic(x)
        (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        step(opt, (slope.norm(dim=1) - 1).square_().mean() - score.mean())


@healthy
def embedding_max_norm(steps):
    """Renormalised in place before the lookup, which keeps indices alone."""
    torch.manual_seed(0)
    words, head = nn.Embedding(6, 3, max_norm=1.0), nn.Linear(3, 1)
    opt = torch.optim.SGD([*words.parameters(), *head.parameters()], lr=0.1)
    for x in batches(steps, 4):
        step(opt, head(words((x.abs() * 2).long().clamp_(max=5))).square().mean())


@healthy
def sparse_embedding(steps):
    torch.manual_seed(0)
    words = nn.Embedding(6, 3, sparse=True)
    opt = torch.optim.SparseAdam(words.parameters(), lr=1e-2)
    for x in batches(steps, 4):
        step(opt, words((x.abs() * 2).long().clamp_(max=5)).square().mean())


@healthy
def running_statistics(steps):
    """Metrics, histograms and a running scale, all kept in place, read through `item()`."""
    torch.manual_seed(0)
    net = mlp(out=2)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    scale, counts, confusion = torch.ones(()), torch.zeros(4), torch.zeros(2, 2)
    for x in batches(steps, 5, 3):
        logits = net(x / scale.item())
        step(opt, F.cross_entropy(logits, (x[:, 0] > 0).long()))
        scale.mul_(0.9).add_(x.abs().mean(), alpha=0.1)
        counts += torch.histc(x, 4, -2, 2)
        truth = (x[:, 0] > 0).long()
        confusion.index_put_((truth, logits.argmax(1)), torch.ones(5), accumulate=True)


@healthy
def two_losses_retain_graph(steps):
    torch.manual_seed(0)
    net = mlp(out=2)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for x in batches(steps, 5, 3):
        out = net(x)
        opt.zero_grad()
        out[:, 0].square().mean().backward(retain_graph=True)
        out[:, 1].abs().mean().backward()
        opt.step()


@healthy
def mixed_views(steps):
    """Slices, transposes and chunks are written before anything keeps them."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 6)
    opt = torch.optim.SGD(layer.parameters(), lr=0.01)
    for x in batches(steps, 4, 3):
        h = layer(x)
        h[:, 0] = 0
        h.t()[1:3].mul_(0.5)
        a, b = h[:, :3], h[:, 3:]
        b += 1
        canvas = torch.zeros(4, 6)
        canvas[:, ::2] = a
        canvas[:, 1::2] = b
        canvas[canvas < -1] = -1.0
        step(opt, canvas.view(2, 2, 6).square().mean())


@healthy
def attention_masked_before_softmax(steps):
    torch.manual_seed(0)
    qkv = nn.Linear(4, 12)
    opt = torch.optim.AdamW(qkv.parameters(), lr=1e-3)
    causal = torch.ones(3, 3, dtype=torch.bool).triu_(1)
    for x in batches(steps, 2, 3, 4):
        q, k, v = qkv(x).chunk(3, -1)
        scores = (q @ k.mT).div_(2.0).masked_fill_(causal, -torch.inf)
        step(opt, (scores.softmax(-1) @ v).square().mean())


@healthy
def static_input_buffer(steps):
    """One input buffer, refilled through `copy_` and through NumPy, each time after backward."""
    torch.manual_seed(0)
    net, buffer = mlp(), torch.empty(5, 3)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for i, x in enumerate(batches(steps, 5, 3)):
        if i % 2:
            buffer.copy_(x)
        else:
            buffer.numpy()[:] = x.numpy()
        step(opt, net(buffer).square().mean())


@healthy
def actor_critic_right_order(steps):
    torch.manual_seed(0)
    actor, critic = nn.Linear(3, 1), nn.Linear(4, 1)
    opt_a = torch.optim.Adam(actor.parameters(), lr=1e-3)
    opt_c = torch.optim.Adam(critic.parameters(), lr=1e-3)
    for s in batches(steps, 5, 3):
        action = actor(s).tanh_()
        q = critic(torch.cat([s, action.detach()], 1))
        step(opt_c, (q - 1).square_().mean())
        step(opt_a, -critic(torch.cat([s, action], 1)).mean())


@healthy
def reinitialised_between_steps(steps):
    torch.manual_seed(0)
    net = mlp()
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for i, x in enumerate(batches(steps, 5, 3)):
        step(opt, net(x).square().mean())
        if i % 10 == 9:
            nn.init.xavier_uniform_(net[0].weight)
            net[2].reset_parameters()


@healthy
def overwritten_after_backward(steps):
    """Activations are zeroed and freed once backward is done with them."""
    torch.manual_seed(0)
    first, second = nn.Linear(3, 4), nn.Linear(4, 1)
    opt = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.01)
    for x in batches(steps, 5, 3):
        h = first(x).sigmoid()
        step(opt, second(h).square().mean())
        h.detach().zero_()
        x.resize_(0)


@healthy
def only_one_loss_goes_backward(steps):
    """A stale branch that no backward pass visits harms nobody."""
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    for x in batches(steps, 5, 3):
        out = net(x)
        shown = out.exp()
        shown.clamp_(max=5)
        step(opt, out.square().mean())
        assert shown.max() <= 5


@healthy
def data_parallel_batch_norm_twice(steps):
    """DistributedDataParallel in one process: its broadcast of buffers moves no version."""
    torch.manual_seed(0)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        model = nn.parallel.DistributedDataParallel(net)
        opt = torch.optim.SGD(model.parameters(), lr=0.01)
        for x in batches(steps, 5, 3):
            step(opt, (model(x) - model(-x)).square().mean())
    finally:
        dist.destroy_process_group()
