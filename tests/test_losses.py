"""Cross-entropy that keeps its digits, and a softplus whose derivatives are right everywhere."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.func import debug_unwrap, grad, hessian, jacfwd, jacrev, jvp, linearize, vmap
from truth import generator, problem

from curvlab import data
from curvlab.calculus import hessian_operator, input_gradient
from curvlab.losses import check_labels, margin_cross_entropy, softplus
from curvlab.networks import MLP, he_init
from curvlab.spectrum import unit

# torch.func's own forward mode still uses torch.jit
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
IGNORE_LINEARIZE = pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")

BETAS = (1.0, 8.0)
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def exact(z, beta=1.0):
    """Softplus by logaddexp, which has no threshold."""
    return torch.logaddexp(z * beta, torch.zeros_like(z)) / beta


def points(size=6, seed=0):
    return 3 * torch.randn(size, generator=generator(seed), dtype=torch.float64)


# --- softplus


@settings(deadline=None, max_examples=100)
@example(25.0, 1.0)
@example(-25.0, 1.0)
@given(st.floats(-1e4, 1e4), st.sampled_from([0.1, 1.0, 8.0, 100.0]))
def test_softplus_and_two_derivatives_in_float64(point, beta):
    z = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    value = softplus(z, beta)
    (slope,) = torch.autograd.grad(value, z, create_graph=True)
    (bend,) = torch.autograd.grad(slope, z)
    s = (beta * z.detach()).sigmoid()
    torch.testing.assert_close(value.detach(), exact(z.detach(), beta), rtol=1e-14, atol=0)
    torch.testing.assert_close(slope.detach(), s, rtol=1e-14, atol=0)
    torch.testing.assert_close(bend, beta * s * (1 - s), rtol=1e-12, atol=1e-14)
    assert 0 <= bend <= beta / 4
    assert torch.equal(softplus(z.detach(), beta), value.detach())


def test_softplus_at_the_ends():
    z = torch.tensor([-float("inf"), -1e30, 1e30, float("inf")], requires_grad=True)
    torch.testing.assert_close(softplus(z), torch.tensor([0, 0, 1e30, float("inf")]))
    (slope,) = torch.autograd.grad(softplus(z).sum(), z)
    assert slope.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("beta", BETAS)
def test_softplus_derivatives_by_finite_differences(beta):
    z = points().requires_grad_()

    def slope(z):
        return torch.autograd.grad(softplus(z, beta).sum(), z, create_graph=True)[0]

    options = {"check_batched_grad": True}
    assert torch.autograd.gradcheck(
        lambda z: softplus(z, beta), z, check_forward_ad=True, **options
    )
    assert torch.autograd.gradgradcheck(
        lambda z: softplus(z, beta), z, check_fwd_over_rev=True, check_rev_over_rev=True, **options
    )
    assert torch.autograd.gradgradcheck(lambda z: slope(z).square(), z)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize(
    "transform",
    [
        grad,
        hessian,
        lambda f: vmap(grad(f)),
        lambda f: vmap(lambda t: hessian(f)(t.unsqueeze(0))),
        lambda f: jacrev(jacrev(f)),
        lambda f: jacfwd(jacfwd(f)),
        lambda f: jacrev(jacfwd(f)),
        lambda f: jacrev(jacrev(jacrev(f))),
        lambda f: lambda z: jvp(grad(f), (z,), (z,))[1],
        lambda f: grad(lambda z: jvp(f, (z,), (z.detach(),))[1]),
        pytest.param(lambda f: lambda z: linearize(f, z)[1](z), marks=IGNORE_LINEARIZE),
    ],
)
def test_softplus_under_torch_func(transform, beta):
    found = transform(lambda z: softplus(z, beta).square().sum())(points())
    wanted = transform(lambda z: exact(z, beta).square().sum())(points())
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_whole_network_under_torch_func():
    model, x, y = problem("softplus")

    def loss(one, label):
        return margin_cross_entropy(model(one.unsqueeze(0)), label.unsqueeze(0)).squeeze(0)

    operator = hessian_operator(lambda x: margin_cross_entropy(model(x), y), x)
    columns = [operator(e.expand_as(x)) for e in torch.eye(6, dtype=x.dtype)]
    torch.testing.assert_close(vmap(hessian(loss))(x, y), torch.stack(columns, 2))
    torch.testing.assert_close(vmap(grad(loss))(x, y), operator.gradient.detach())


def test_softplus_keeps_no_graph_without_a_reason():
    assert softplus(torch.ones(2)).grad_fn is None
    with torch.no_grad():
        assert softplus(torch.ones(2, requires_grad=True)).grad_fn is None


@pytest.mark.parametrize("beta", [0.0, -1.0, float("nan")])
def test_softplus_refuses(beta):
    with pytest.raises(ValueError, match=r"requires beta > 0. Found"):
        softplus(torch.ones(1), beta)


# --- cross-entropy


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 12),
    st.integers(1, 5),
    st.floats(0.01, 200),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_equals_cross_entropy_with_its_gradient(classes, batch, scale, seed, far):
    draw = generator(seed)
    logits = scale * torch.randn(batch, classes, generator=draw, dtype=torch.float64)
    logits = (logits + (1e4 if far else 0)).requires_grad_()
    y = torch.randint(classes, (batch,), generator=draw)
    found, wanted = margin_cross_entropy(logits, y), F.cross_entropy(logits, y, reduction="none")
    size = max(1.0, logits.abs().max().item())
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-15 * size)
    gradients = (torch.autograd.grad(v.sum(), logits)[0] for v in (found, wanted))
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-14 * size)


def test_hessian_in_the_logits_is_that_of_softmax():
    logits = points(15).view(3, 5)
    y = torch.tensor([0, 4, 2])
    p = logits.softmax(1)
    wanted = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
    assert p.argmax(1).ne(y).any()
    operator = hessian_operator(lambda z: margin_cross_entropy(z, y), logits)
    columns = [operator(e.expand_as(logits)) for e in torch.eye(5, dtype=logits.dtype)]
    torch.testing.assert_close(torch.stack(columns, 2), wanted)


def test_confident_examples_keep_their_digits_in_float32():
    margins = torch.arange(1, 60, dtype=torch.float64)
    logits = torch.stack([margins, torch.zeros_like(margins), -margins / 3], 1)
    y = torch.zeros(len(logits), dtype=torch.int64)
    exactly = torch.log1p(torch.exp(logits[:, 1:] - logits[:, :1]).sum(1))
    found = margin_cross_entropy(logits.float(), y).double()
    torch.testing.assert_close(found, exactly, rtol=1e-5, atol=0)
    gradient = input_gradient(lambda z: margin_cross_entropy(z, y), logits.float())[:, 0].double()
    torch.testing.assert_close(gradient, torch.expm1(-exactly), rtol=1e-5, atol=0)


def test_confidently_wrong_examples_keep_theirs():
    margins = torch.arange(1, 60, dtype=torch.float64)
    logits = torch.stack([margins, torch.zeros_like(margins)], 1)
    y = torch.ones(len(logits), dtype=torch.int64)
    v = torch.tensor([1.0, 0.0]).expand(len(logits), 2)
    operator = hessian_operator(lambda z: margin_cross_entropy(z, y), logits.float())
    curvature = 1 / (2 + torch.exp(margins) + torch.exp(-margins))
    torch.testing.assert_close(operator(v)[:, 0].double(), curvature, rtol=1e-5, atol=0)


@pytest.fixture(scope="module", params=["softplus", "relu"])
def product_errors(request):
    """Losses, and relative float32 errors of Hv by both losses, of a network trained on digits.

    A tenth of the examples get a wrong label, so that there are large losses too. `v` is the
    input gradient: a direction nearly orthogonal to the few large eigenvectors would measure
    its own cancellation.
    """
    draw, digits = generator(0), data.load("digits", "train")
    model = MLP((64, 32, 10), request.param, beta=1.0)
    he_init(model, draw)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        margin_cross_entropy(model(digits.x), digits.y).mean().backward()
        optimizer.step()
    wrong = torch.rand(len(digits.y), generator=draw) < 0.1
    y = (digits.y + wrong) % 10
    v = unit(input_gradient(lambda x: margin_cross_entropy(model(x), y), digits.x))

    def product(loss, dtype):
        network = model.to(dtype)
        operator = hessian_operator(lambda x: loss(network(x), y), digits.x.to(dtype))
        return operator(v.to(dtype)).double().flatten(1), operator.value.detach().double()

    def stock(logits, y):
        return F.cross_entropy(logits, y, reduction="none")

    truth, losses = product(margin_cross_entropy, torch.float64)
    pairs = [product(loss, torch.float32)[0] for loss in (margin_cross_entropy, stock)]
    return losses, [(found - truth).norm(dim=1) / truth.norm(dim=1) for found in pairs]


BINS = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 5, 100]


@pytest.mark.parametrize("low", BINS[:-1])
def test_products_are_accurate_in_every_loss_bin(product_errors, low):
    losses, (margin, _) = product_errors
    within = (losses >= low) & (losses < BINS[BINS.index(low) + 1])
    assert within.sum() >= 20
    assert margin[within].max() <= 1e-5


def test_stock_cross_entropy_is_not(product_errors):
    losses, (_, stock) = product_errors
    assert stock[(losses >= 1e-6) & (losses < 1e-5)].max() > 1e-3


def test_under_vmap_over_labels():
    logits, y = points(20).view(4, 5), torch.tensor([0, 1, 4, 2])
    each = vmap(lambda z, t: margin_cross_entropy(z.unsqueeze(0), t.unsqueeze(0)).squeeze(0))
    torch.testing.assert_close(each(logits, y), margin_cross_entropy(logits, y))
    with pytest.raises(ValueError, match=r"requires labels from 0 to 4. Found 0 to 5."):
        each(logits, torch.tensor([0, 1, 5, 2]))
    assert debug_unwrap(y) is y


@CUDA
def test_follows_the_device():
    logits, y = points(20).view(4, 5), torch.tensor([0, 1, 4, 2])
    found = margin_cross_entropy(logits.cuda(), y.cuda())
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), margin_cross_entropy(logits, y))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_follows_the_dtype(dtype):
    logits = torch.zeros(2, 3, dtype=dtype, requires_grad=True)
    value = margin_cross_entropy(logits, torch.tensor([0, 1]))
    assert value.dtype == torch.autograd.grad(value.sum(), logits)[0].dtype == dtype


LOGITS, LABELS = torch.zeros(2, 3), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("logits", "y", "error", "message"),
    [
        (LOGITS[0], LABELS, ValueError, r"requires logits \(B, C\), C >= 2. Found shape \(3,\)."),
        (LOGITS[:, :1], LABELS, ValueError, r"C >= 2. Found shape \(2, 1\)."),
        (LOGITS.long(), LABELS, TypeError, "requires floating-point logits. Found torch.int64."),
        (LOGITS, LABELS[:1], ValueError, r"requires labels \(2,\). Found shape \(1,\)."),
        (LOGITS, LABELS.unsqueeze(1), ValueError, r"requires labels \(2,\). Found shape \(2, 1\)."),
        (LOGITS, LABELS.float(), TypeError, "requires int64 labels. Found torch.float32."),
        (LOGITS, LABELS + 2, ValueError, "requires labels from 0 to 2. Found 2 to 3."),
        (LOGITS, LABELS - 1, ValueError, "requires labels from 0 to 2. Found -1 to 0."),
    ],
)
def test_bad_input(logits, y, error, message):
    for function in (check_labels, margin_cross_entropy):
        with pytest.raises(error, match=message):
            function(logits, y)


def test_an_empty_batch_has_no_losses():
    assert margin_cross_entropy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)).shape == (0,)
