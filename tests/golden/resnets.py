"""Logits and training steps of torchvision's residual networks, with weights and inputs that any language can make again.

u(name, i) = splitmix64(crc32(name) * 0x9E3779B97F4A7C15 + i), its top 24 bits / 2^24, from [0, 1) to [-1, 1).
Weights of four or two dimensions: u * sqrt(3 / fan_in), fan_in = in / groups * kh * kw; of one: 1 + 0.1 u.
Biases beside weights of four or two dimensions: 0.05 u; others: 0.1 u. Running means: 0.1 u; variances: 1 + 0.5 |u|.
Names are those of state_dict. Inputs: (u + 1) / 2 under the name given, in CHW order, one run of indices for the batch.

Usage: resnets.py OUT.json    (needs torch and torchvision; the builds for CPUs serve)
"""
import json, sys, zlib
import numpy as np, torch, torchvision

def u(name, n):
    with np.errstate(over='ignore'):
        s = np.uint64((zlib.crc32(name.encode()) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF) + np.arange(n, dtype=np.uint64)
        z = s + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(40)).astype(np.float64) / 2**24 * 2 - 1).astype(np.float32)

def fill(model):
    state = model.state_dict()
    for name, value in state.items():
        if name.endswith('num_batches_tracked'): continue
        x, (owner, leaf) = u(name, value.numel()), name.rsplit('.', 1)
        if value.dim() >= 2: x = x * np.float32(np.sqrt(3 / (value.numel() // value.shape[0])))
        elif leaf == 'running_var': x = 1 + np.float32(.5) * np.abs(x)
        elif leaf == 'running_mean': x = np.float32(.1) * x
        elif leaf == 'bias': x = np.float32(.05 if state[owner + '.weight'].dim() >= 2 else .1) * x
        else: x = 1 + np.float32(.1) * x
        state[name] = torch.from_numpy(x.astype(np.float32).reshape(value.shape))
    model.load_state_dict(state)

def images(name, batch, extent):
    return torch.from_numpy((u(name, batch * 3 * extent * extent).reshape(batch, 3, extent, extent) + 1) / 2)

NAMES = '''resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d wide_resnet50_2
wide_resnet101_2'''.split()
out = {'torch': torch.__version__, 'torchvision': torchvision.__version__, 'logits': {}, 'training': {}}
for name in NAMES:
    model = getattr(torchvision.models, name)(weights=None); fill(model); model.eval()
    with torch.no_grad(): y = model(images('zoo_input', 2, 224))
    out['logits'][name] = {'params': sum(p.numel() for p in model.parameters()), 'mean': y.double().mean().item(), 'std': y.double().std().item(),
                           'first8': [row[:8].tolist() for row in y], 'top5': [row.topk(5).indices.tolist() for row in y]}
for name in ('resnet18', 'resnet50'):
    model = getattr(torchvision.models, name)(weights=None); fill(model); model.train()
    x, labels = images('train_input', 8, 64), torch.tensor([i * 37 % 1000 for i in range(8)])
    sgd = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9, weight_decay=1e-4)
    cross_entropy, losses, norms = torch.nn.CrossEntropyLoss(label_smoothing=0.1), [], None
    for step in range(5):
        sgd.zero_grad(); loss = cross_entropy(model(x), labels); loss.backward()
        if step == 0: norms = {k: p.grad.double().norm().item() for k, p in model.named_parameters()}
        sgd.step(); losses.append(loss.item())
    state = model.state_dict(); means = [k for k in state if k.endswith('running_mean')]
    out['training'][name] = {'input': [8, 3, 64, 64], 'labels': labels.tolist(), 'lr': .005, 'momentum': .9, 'weight_decay': 1e-4, 'label_smoothing': .1, 'losses': losses,
                             'grad_norms_step0': {k: norms[k] for k in list(norms)[:6] + list(norms)[-6:]}, 'all_grads_norm_step0': sum(v * v for v in norms.values()) ** .5,
                             'running_mean_norms_after': {k: state[k].double().norm().item() for k in (means[0], means[-1])}}
json.dump(out, open(sys.argv[1], 'w'), indent=1)
